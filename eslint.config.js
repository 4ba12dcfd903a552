import prettier from 'eslint-config-prettier/flat';
import tseslint from 'typescript-eslint';

const NO_ENV = 'Read the environment in config.ts, through a schema, and pass the values on.';

export default tseslint.config(
  { ignores: ['**/dist/', '**/node_modules/', '.cache/', 'data/', 'coverage/'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['vitest.config.ts'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-deprecated': 'error',
      // A Fastify plugin is async by its form, whether it waits or not.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // Functions and interfaces, hardly a class: callbacks written as methods are taken apart all the time.
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      eqeqeq: 'error',
      'max-lines': ['warn', { max: 350 }],
      'max-lines-per-function': ['warn', { max: 80, skipBlankLines: true, skipComments: true }],
      'no-console': 'error',
      'no-restricted-properties': ['error', { object: 'process', property: 'env', message: NO_ENV }],
    },
  },
  {
    files: ['**/config.ts', 'scripts/**', 'test/**', 'bench/**'],
    rules: { 'no-restricted-properties': 'off' },
  },
  {
    // These talk to a person at a terminal; the services log, but for a start that fails before there is a logger.
    files: [
      'scripts/**',
      'test/**',
      'bench/**',
      'test/ops/**',
      'packages/client/src/cli/**',
      'services/api/src/openapi/**',
      'services/*/src/main.ts',
    ],
    rules: { 'no-console': 'off' },
  },
  {
    // A describe() is one function around a whole file's tests.
    files: ['test/**'],
    rules: { 'max-lines-per-function': 'off' },
  },
  prettier,
);
