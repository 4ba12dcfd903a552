import { expect, inject, it, onTestFinished } from 'vitest';
import { hasEnded, startDeployment } from '../support/deployment.js';
import { expectEndedOnce } from '../support/endings.js';
import { startReceiver } from '../support/receiver.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

it.each(['500', '503', 'cut', 'hang'] as const)(
  'a receiver that is away (%s) from before the post until behind the end holds up no job, and has its webhook when it is back',
  async (fault) => {
    const redisUrl = inject('redisUrl');
    let isBack = false;
    const receiver = await startReceiver(
      (response) =>
        void response.writeHead(isBack || Number.isNaN(Number(fault)) ? 204 : Number(fault)).end(),
    );
    onTestFinished(() => receiver.close());
    const way = await startTcpProxy({ host: '127.0.0.1', port: Number(new URL(receiver.url).port) });
    onTestFinished(() => way.cut());
    if (fault === 'cut' || fault === 'hang') await way[fault]();
    const deployment = await startDeployment(redisUrl);
    onTestFinished(() => deployment.end());
    const worker = await deployment.startWorker({
      WEBHOOK_TIMEOUT_SECONDS: '1',
      WEBHOOK_RETRY_DELAYS_SECONDS: Array(60).fill(1).join(),
    });
    const webhook = { url: `http://127.0.0.1:${way.port}/hook` };

    const first = await deployment.waitFor((await deployment.post({ webhook })).id, hasEnded);
    const missed = ({ msg }: { msg: string }) => msg === 'webhook not delivered';
    await worker.waitForLog(missed);
    const second = await deployment.waitFor((await deployment.post({ webhook })).id, hasEnded);
    for (const job of [first, second]) {
      expect(job).toMatchObject({ status: 'succeeded', attempts: 1 });
      await worker.waitForLog((line) => missed(line) && line['jobId'] === job.id);
    }
    isBack = true;
    await way.restore();
    await worker.waitForLog(({ msg, jobId }) => msg === 'webhook delivered' && jobId === second.id);
    await expectEndedOnce([first, second], { redisUrl, prefix: deployment.queuePrefix, receiver });
  },
);
