/**
 * The one place that says how long a test may wait. Deadlines are written down as they are on a quiet machine, and pass
 * through here, because the machine of a run may have a quarter of that speed to give: others are busy on it. A
 * deadline costs nothing while things go well, and no test may hang on how fast they went.
 */
const PATIENCE = Number(process.env.HOLDFAST_TEST_PATIENCE ?? 4);

export function patient(quietMs: number): number {
  return quietMs * PATIENCE;
}
