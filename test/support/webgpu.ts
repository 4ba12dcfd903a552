import { selectEngine } from '@headstart/engines';
import { type Configuration, FORCED } from './engines.js';

/** As a worker trains. */
export const WEBGPU: Configuration = {
  label: 'webgpu',
  engine: 'webgpu',
  settings: {},
  isFiniteOnly: true,
};

/** Why the engine "webgpu" does not start here, printed; null where it does. It is started to find out. */
export const webgpuFailure: string | null = await selectEngine('webgpu', { trainsConvolutions: true }).then(
  () => null,
  (error: unknown) => {
    const reason = (error as Error).message;
    console.log(`skipped: ${reason}`);
    return reason;
  },
);

/** Every engine with kernels of ours, forced to run them whatever the size. */
export const KERNEL_CONFIGURATIONS: readonly Configuration[] = [
  ...FORCED,
  ...(webgpuFailure === null ? [{ ...WEBGPU, settings: { minimumSize: 0 } }] : []),
];
