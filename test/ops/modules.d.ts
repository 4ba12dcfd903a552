/** The engine's folder, put in by the bundler: see run.ts. */
declare module 'virtual:engine';

/** The part of Jasmine that is used; its packaged types would be global. */
declare module 'jasmine-core' {
  interface Environment {
    clearReporters(): void;
    addReporter(reporter: object): void;
    configure(options: {
      random: boolean;
      forbidDuplicateNames: boolean;
      specFilter(spec: { getFullName(): string }): boolean;
    }): void;
    execute(): Promise<unknown>;
  }
  const jasmine: { boot(): { getEnv(): Environment } };
  export default jasmine;
}
