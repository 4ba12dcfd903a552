import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { parseConfig } from '@headstart/contracts';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { REDIS_SETTINGS } from '../../../scripts/src/redis/server.js';
import { Environment as ApiEnvironment } from '../../../services/api/src/config.js';
import { Environment as WorkerEnvironment } from '../../../services/worker/src/config.js';

const read = (file: string) => readFileSync(resolve(import.meta.dirname, '../../..', file), 'utf8');

interface Service {
  image: string;
  build?: { context: string; dockerfile: string; target?: string };
  command?: string[];
  environment: Record<string, string>;
  env_file?: { path: string; required: boolean }[];
  depends_on?: Record<string, { condition: string }>;
  restart: string;
  read_only?: boolean;
  ports?: string[];
  volumes: string[];
  profiles?: string[];
  healthcheck?: object;
  stop_grace_period?: string;
  deploy: { resources: { limits: { memory: string } } };
}

const text = read('docker-compose.yml');
const example = parseEnv(read('.env.example')) as Record<string, string>;
/** With the defaults in place, as `docker compose up` has it without a .env. */
const { services, volumes } = parse(withDefaults(text), { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, null>;
};
const built = Object.entries(services).filter(([, service]) => service.build);
const schemaOf = (name: string) => (name === 'api' ? ApiEnvironment : WorkerEnvironment);

function withDefaults(yaml: string): string {
  return yaml.replace(/\$\{(\w+):-([^}]*)\}/g, '$2');
}

/** The instructions of a Dockerfile from its start, or that of a stage, to the next stage. */
function stageOf(file: string, target?: string): string {
  const stages = read(file).split(/^(?=FROM )/m);
  const stage =
    target === undefined ? stages.at(-1) : stages.find((lines) => lines.includes(` AS ${target}\n`));
  if (stage === undefined) throw new Error(`${file} has no stage ${target}`);
  return stage;
}

/** What ENV sets in a stage, `NAME=value` as often as it likes. */
function imageEnvironment(stage: string): Record<string, string> {
  const lines = stage.replaceAll('\\\n', ' ').matchAll(/^ENV (.*)$/gm);
  return Object.fromEntries(
    [...lines].flatMap(([, list]) =>
      [...list!.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name!, value!]),
    ),
  );
}

describe('docker-compose.yml', () => {
  it('has every variable in .env.example, with its default', () => {
    const used = Object.fromEntries(
      [...text.matchAll(/\$\{(\w+):-([^}]*)\}/g)].map(([, name, fallback]) => [name!, fallback!]),
    );
    expect(text.match(/\$\{/g)).toHaveLength([...text.matchAll(/\$\{(\w+):-([^}]*)\}/g)].length);
    expect(example).toEqual(used);
    for (const [, name, fallback] of text.matchAll(/\$\{(\w+):-([^}]*)\}/g))
      expect(fallback).toBe(used[name!]);
  });

  it('proposes in .env.example no variable that nobody reads', () => {
    const names = [...read('.env.example').matchAll(/^(?:# )?([A-Z][A-Z0-9_]*)=/gm)].map(([, name]) => name!);
    const known = { ...example, ...ApiEnvironment.shape, ...WorkerEnvironment.shape };
    expect(names.filter((name) => !(name in known))).toEqual([]);
  });

  it.each(built)('gives %s an environment that it can start with', (name, { environment, build }) => {
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...own } = environment;
    expect([AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY].every(Boolean)).toBe(true);
    const schema = schemaOf(name);
    expect(Object.keys(own).filter((variable) => !(variable in schema.shape))).toEqual([]);
    const image = imageEnvironment(stageOf(build!.dockerfile, build!.target));
    expect(() => parseConfig(schema, { ...image, ...own })).not.toThrow();
  });

  it('leaves to .env what it does not set itself', () => {
    for (const [, { env_file }] of built) expect(env_file).toEqual([{ path: '.env', required: false }]);
  });

  it('names the version of every image that it does not build', () => {
    const fetched = Object.values(services).filter(({ build }) => !build);
    for (const { image } of fetched) expect(image).toMatch(/^[a-z]+\/[a-z]+:\d+\.\d+/);
  });

  it.each(Object.entries(services))(
    'checks the health of %s, limits it and starts it again',
    (_, service) => {
      const { build, healthcheck, restart, deploy } = service;
      const inImage = build && stageOf(build.dockerfile, build.target).includes('\nHEALTHCHECK ');
      expect(healthcheck ?? inImage).toBeTruthy();
      expect(restart).toBe('unless-stopped');
      expect(deploy.resources.limits.memory).toMatch(/^\d+[mg]$/);
    },
  );

  it.each(built)(
    'starts %s when Redis and S3 are healthy, with nothing of its image to write to',
    (_, service) => {
      expect(service.read_only).toBe(true);
      expect(service.depends_on).toEqual({
        redis: { condition: 'service_healthy' },
        s3: { condition: 'service_healthy' },
      });
      expect(stageOf(service.build!.dockerfile, service.build!.target)).toContain('\nUSER 1000:1000\n');
    },
  );

  it('publishes on 127.0.0.1 alone', () => {
    const ports = Object.values(services).flatMap((service) => service.ports ?? []);
    expect(ports).toEqual(['127.0.0.1:8333:8333', '127.0.0.1:3000:3000']);
  });

  it('keeps what must last in volumes', () => {
    const named = Object.values(services).flatMap((service) =>
      service.volumes.map((volume) => volume.split(':')[0]!),
    );
    expect(new Set(named)).toEqual(new Set(['./data', ...Object.keys(volumes)]));
    const { WORK_DIR, CACHE_DIR } = imageEnvironment(stageOf('docker/Dockerfile', 'worker'));
    expect(services['worker']!.volumes).toEqual([
      './data:/data:ro',
      `cache:${CACHE_DIR}`,
      `work:${WORK_DIR}`,
    ]);
    expect(services['gpu-worker']!.volumes).toEqual(services['worker']!.volumes);
  });

  it('runs Redis as the tests do', () => {
    const command = services['redis']!.command!;
    const settings = REDIS_SETTINGS.join(' ').replace(' --daemonize no', '');
    expect(command.join(' ')).toContain(settings);
  });

  it.each(['worker', 'gpu-worker'])('stops %s only after its grace', (name) => {
    const { environment, stop_grace_period } = services[name]!;
    const seconds = [...stop_grace_period!.matchAll(/(\d+)s/g)].reduce(
      (sum, [, part]) => sum + Number(part),
      0,
    );
    // The worker takes up to ten seconds more, see its main.ts.
    expect(seconds).toBeGreaterThan(Number(environment['SHUTDOWN_GRACE_SECONDS']) + 10);
  });

  it('starts the GPU worker in its profile alone', () => {
    const profiles = Object.entries(services).filter(([, service]) => service.profiles);
    expect(profiles.map(([name, service]) => [name, service.profiles])).toEqual([['gpu-worker', ['gpu']]]);
  });
});

describe('the images', () => {
  const files = ['docker/Dockerfile', 'Dockerfile.gpu'];
  const argument = (file: string, name: string) =>
    new RegExp(`^ARG ${name}=(.*)$`, 'm').exec(read(file))?.[1];
  const { version, devDependencies } = JSON.parse(read('package.json')) as {
    version: string;
    devDependencies: { node: string };
  };

  it.each(files)("%s has the project's Node, pinned bases and version", (file) => {
    expect(argument(file, 'NODE_IMAGE')).toBe(`node:${devDependencies.node}-bookworm-slim`);
    expect(argument(file, 'RUNTIME_IMAGE')).toMatch(/^debian:12\.\d+-slim$/);
    expect(argument(file, 'RUNTIME_IMAGE')).toBe(argument(files[0]!, 'RUNTIME_IMAGE'));
    expect(argument(file, 'VERSION')).toBe(version);
  });

  it('link the TensorFlow that the tests run on', () => {
    expect(read('.ci/link-tensorflow')).toContain(
      `\nversion=${argument('Dockerfile.gpu', 'TENSORFLOW_VERSION')}\n`,
    );
  });

  it.each(files)('%s copies nothing that .dockerignore keeps out', (file) => {
    const sources = [...read(file).matchAll(/^COPY (?!--from)(.*)$/gm)].flatMap(([, paths]) =>
      paths!.split(' ').slice(0, -1),
    );
    expect(sources.length).toBeGreaterThan(0);
    const allowed = [...read('.dockerignore').matchAll(/^!(.*)$/gm)].map(([, path]) => path!);
    for (const source of sources) {
      expect(allowed).toContain(source.split('/')[0]);
      expect(existsSync(resolve(import.meta.dirname, '../../..', source))).toBe(true);
    }
  });
});
