import { AppError, ERRORS, type ErrorCode } from '@headstart/contracts';
import { decodeFailure, encodeFailure, toQueueError } from '@headstart/queue';
import { UnrecoverableError } from 'bullmq';
import { describe, expect, it } from 'vitest';

describe('failures in the queue', () => {
  it('come back as they went in', () => {
    const error = new AppError('diverged', 'The loss became NaN in epoch 3.', {
      errors: [{ field: 'training.learningRate', message: 'too high', received: 10 }],
      details: { lastCheckpointEpoch: 2 },
    });
    expect(decodeFailure(encodeFailure(error))).toEqual(error.toJobError());
  });

  it.each(['job stalled more than allowable limit', '', '{"code":"no_such_code"}', '{"code":'])(
    'are worker_lost where BullMQ, not a worker, gave the reason: %j',
    (reason) => {
      const decoded = decodeFailure(reason);
      expect(decoded).toMatchObject({ code: 'worker_lost', retryable: false });
      expect(decoded.detail).toContain(reason);
    },
  );

  it.each(Object.keys(ERRORS) as ErrorCode[])('let BullMQ try again only if %s is retryable', (code) => {
    const queueError = toQueueError(new AppError(code, 'Something happened.'));
    expect(queueError instanceof UnrecoverableError).toBe(!ERRORS[code].retryable);
    expect(decodeFailure(queueError.message).code).toBe(code);
  });

  it('keep an error that says of itself that a retry cannot mend it', () => {
    const error = new AppError('trainer_crashed', 'It crashed at the same step twice.', { retryable: false });
    expect(toQueueError(error)).toBeInstanceOf(UnrecoverableError);
  });
});
