/** What `npm run test:nodes` was asked for, and the table of what came of it. */

/** Types and lint do not depend on the Node that runs the program. */
const defaultParts = ['unit', 'faults', 'e2e']

/**
 * Numbers are major versions of Node, everything else is for `npm test`.
 * @param {readonly string[]} args
 * @param {ReadonlyMap<number, string>} versions those that there are, by their major ones
 */
export function chooseRuns(args, versions) {
  const isVersion = /** @param {string} arg */ (arg) => /^\d+$/.test(arg)
  const majors = args.filter(isVersion).map(Number)
  const unknown = majors.filter((major) => !versions.has(major))
  if (unknown.length > 0) throw new Error(`no Node ${unknown.join(', ')}; there are ${[...versions.keys()].join(', ')}`)
  const rest = args.filter((arg) => !isVersion(arg))
  return {
    nodes: majors.length === 0 ? [...versions.values()] : majors.map((major) => versions.get(major) ?? ''),
    testArgs: rest.some((arg) => !arg.startsWith('--')) ? rest : [...defaultParts, ...rest],
  }
}

/** @typedef {{ version: string, ok: boolean, seconds: number, output: string }} Run `output`: all that `npm test` printed */

/** @param {readonly Run[]} runs */
export function tableOfRuns(runs) {
  const rows = runs.map(({ version, ok, seconds, output }) => {
    const [passed = '-', failed = '-', forPackage = '-', forPrivilege = '-'] = countsIn(output)
    return [version, ok ? 'ok' : 'FAILED', passed, failed, forPackage, forPrivilege, seconds.toFixed(0)]
  })
  const table = [['node', '', 'passed', 'failed', 'no package', 'no privilege', 'seconds'], ...rows]
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? []
  const lineOf = /** @param {string[]} row */ (row) =>
    row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ')
  return `${table.map(lineOf).join('\n')}\n`
}

/** The four numbers of the summary that `npm test` ends with; none when it did not get that far. @param {string} output */
function countsIn(output) {
  const line = /^(\d+) passed, (\d+) failed, (\d+) skipped for want of a package, (\d+) skipped because/m
  return line.exec(output)?.slice(1) ?? []
}
