/** Which part may import which. The arrows are those of CONTRIBUTING.md: contracts <- packages <- services. */
const SOURCES = '^(packages|services)/[^/]+/src/';
const OUTER_PARTS = '^(services|scripts|test|bench)/';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'Two modules that need each other are one module, or need a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'contracts-imports-zod-alone',
      comment: 'Contracts are shared by everything, browsers included.',
      severity: 'error',
      from: { path: '^packages/contracts/src/' },
      to: {
        pathNot: ['^packages/contracts/src/', '(^|/)node_modules/zod/'],
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'packages-import-contracts-only',
      comment: 'A package is handed functions of the others; services put them together.',
      severity: 'error',
      from: { path: '^packages/([^/]+)/src/' },
      to: { path: ['^packages/', OUTER_PARTS], pathNot: ['^packages/contracts/', '^packages/$1/'] },
    },
    {
      name: 'services-never-each-other',
      comment: 'Services meet in the queue and in the object store.',
      severity: 'error',
      from: { path: '^services/([^/]+)/src/' },
      to: { path: OUTER_PARTS, pathNot: '^services/$1/' },
    },
    {
      name: 'training-knows-no-outside',
      comment: 'Training is handed functions: no queue, no HTTP, no object store.',
      severity: 'error',
      from: { path: '^packages/training/src/' },
      to: {
        path: [
          '(^|/)node_modules/(bullmq|ioredis|fastify|undici|@aws-sdk)/',
          '^(node:)?(http|https|http2|net|tls|dgram)$',
        ],
      },
    },
    {
      name: 'scripts-use-the-client',
      comment: 'The quickstart does what any user can do: over HTTP, through the client.',
      severity: 'error',
      from: { path: '^scripts/src/' },
      to: { path: ['^packages/', '^services/', '^test/'], pathNot: '^packages/(contracts|client)/' },
    },
    {
      name: 'nothing-imports-tests',
      severity: 'error',
      from: { pathNot: '^test/' },
      to: { path: '^test/' },
    },
    {
      name: 'declared-dependencies',
      comment: "What a workspace imports stands in its own package.json, not only in another's.",
      severity: 'error',
      from: { path: SOURCES },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'npm-dev'] },
    },
    {
      name: 'resolvable',
      comment: 'Not found. Workspaces are imported as they are built: run `npm run build` first.',
      severity: 'error',
      from: { path: '^(packages|services|scripts|test)/' },
      to: { couldNotResolve: true, pathNot: '^virtual:' },
    },
  ],
  options: {
    doNotFollow: { path: ['node_modules', '/dist/'] },
    exclude: { path: ['\\.d\\.ts$', '\\.tsbuildinfo$'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    combinedDependencies: false,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
};
