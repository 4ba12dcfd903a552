import { describe, it } from 'vitest';
import { CPU, startEngine } from '../support/engines.js';
import { expectFlat, expectSameBits, expectSameLosses, OPTIMIZERS, PARITY_STEPS } from '../support/parity.js';
import { SMALL_NETS, trainSmallNet } from '../support/small-nets.js';
import { WEBGPU, webgpuFailure } from '../support/webgpu.js';

const SOAK_STEPS = 250;
const REPEAT_STEPS = 4;

describe.skipIf(webgpuFailure !== null)('webgpu', () => {
  describe.each(Object.keys(SMALL_NETS))('trains a net of %s as the cpu backend does', (net) => {
    it.each(Object.keys(OPTIMIZERS))('with %s', async (optimizer) => {
      await startEngine(CPU);
      const expected = await trainSmallNet(net, optimizer, PARITY_STEPS);
      await startEngine(WEBGPU);
      expectSameLosses((await trainSmallNet(net, optimizer, PARITY_STEPS)).losses, expected.losses);
    });
  });

  it('gives the same bits twice', async () => {
    await startEngine(WEBGPU);
    const first = await trainSmallNet('pools and odd sides', 'adam', REPEAT_STEPS);
    expectSameBits(await trainSmallNet('pools and odd sides', 'adam', REPEAT_STEPS), first);
  });

  it(`trains a small net for ${SOAK_STEPS} steps without growing`, async () => {
    await startEngine(WEBGPU);
    expectFlat((await trainSmallNet('pools and odd sides', 'adam', SOAK_STEPS)).memory);
  }, 600_000);
});
