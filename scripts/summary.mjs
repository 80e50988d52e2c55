/** Adds up what the tests reported, and decides whether the run is good. */

/** @typedef {import('./skip-reporter.mjs').Outcome} Outcome */
/** @typedef {{ name: string, ok: boolean, seconds: number }} Step */

/** @param {readonly Outcome[]} outcomes */
export function count(outcomes) {
  const skipped = outcomes.filter(({ outcome }) => outcome === 'skipped')
  const byReason = /** @param {string} prefix */ (prefix) => skipped.filter(({ reason }) => reason?.startsWith(prefix))
  const forPackage = byReason('package:')
  const forPrivilege = byReason('privilege:')
  return {
    passed: outcomes.filter(({ outcome }) => outcome === 'passed').length,
    failed: outcomes.filter(({ outcome }) => outcome === 'failed'),
    forPackage,
    forPrivilege,
    unexplained: skipped.filter((outcome) => !forPackage.includes(outcome) && !forPrivilege.includes(outcome)),
  }
}

/**
 * The last lines of a run.
 * @param {readonly Step[]} steps
 * @param {readonly Outcome[]} outcomes
 * @param {{ requirePackages: boolean }} rules where packages are required, a test skipped for want of one is a failure
 * @returns {{ ok: boolean, text: string }}
 */
export function summarize(steps, outcomes, { requirePackages }) {
  const { passed, failed, forPackage, forPrivilege, unexplained } = count(outcomes)
  const lines = [
    '',
    ...steps.map(({ name, ok, seconds }) => `${ok ? 'ok    ' : 'FAILED'} ${name} (${seconds.toFixed(0)} s)`),
    `${passed} passed, ${failed.length} failed, ${forPackage.length} skipped for want of a package, ${forPrivilege.length} skipped because this machine refuses a privilege`,
    ...list('failed', failed),
    ...list(
      requirePackages ? 'FAILED: skipped for want of a package, which counts as a failure here' : 'skipped for want of a package',
      forPackage,
    ),
    ...list('skipped because this machine refuses a privilege', forPrivilege),
    ...list('FAILED: skipped without a reason that begins with "package:" or "privilege:"', unexplained),
  ]
  const tooFew = requirePackages && forPackage.length > 0
  const ok = steps.every((step) => step.ok) && failed.length === 0 && unexplained.length === 0 && !tooFew
  return { ok, text: `${lines.join('\n')}\n` }
}

/** @param {string} title @param {readonly Outcome[]} outcomes */
function list(title, outcomes) {
  if (outcomes.length === 0) return []
  return [
    `${title}:`,
    ...outcomes.map(({ name, file, reason }) => `  ${file} > ${name}${reason === undefined ? '' : ` (${reason || 'no reason'})`}`),
  ]
}
