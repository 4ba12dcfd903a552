import type { Reporter, TestModule } from 'vitest/node';

/** Names every skipped test at the end of a run, with its reason: a skip nobody sees is a test nobody has. */
export default class SkipReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const lines = modules.flatMap((module) =>
      [...module.children.allTests('skipped')].map((test) => {
        const result = test.result();
        const reason = result.state === 'skipped' ? result.note : undefined;
        return `  ${module.relativeModuleId} > ${test.fullName}: ${reason ?? 'no reason given'}`;
      }),
    );
    if (lines.length > 0) console.log(`\n Skipped (${lines.length})\n${lines.join('\n')}\n`);
  }
}
