/** Which steps and which test files `npm test -- <arguments>` means. */

/** The steps that run test files, and where those lie; what lies in no such directory is a unit test. */
const directories = { faults: ['test/faults/'], e2e: ['test/e2e/', 'test/crash/'] }
const allSteps = ['types', 'lint', 'unit', 'faults', 'e2e']

/**
 * Arguments are names of steps (types, lint, unit, faults, e2e), file patterns (a part of the path, or with `*`), and flags for node (`--test-name-pattern=...`).
 * @param {readonly string[]} args
 * @param {readonly string[]} files every test file, relative to the root
 */
export function select(args, files) {
  const flags = args.filter((arg) => arg.startsWith('--'))
  const words = args.filter((arg) => !arg.startsWith('--'))
  const patterns = words.filter((word) => !allSteps.includes(word))
  const named = words.length === 0 ? allSteps : allSteps.filter((step) => words.includes(step))
  const chosen = files.filter((file) => {
    return named.includes(stepOf(file)) || patterns.some((pattern) => matches(file, pattern))
  })
  return {
    types: named.includes('types'),
    lint: named.includes('lint'),
    unit: chosen.filter((file) => stepOf(file) === 'unit'),
    faults: chosen.filter((file) => stepOf(file) === 'faults'),
    e2e: chosen.filter((file) => stepOf(file) === 'e2e'),
    flags,
    /** Patterns that mean no file at all: a slip. */
    unknown: patterns.filter((pattern) => !files.some((file) => matches(file, pattern))),
  }
}

/** @param {string} file */
function stepOf(file) {
  if (isIn(file, directories.faults)) return 'faults'
  return isIn(file, directories.e2e) ? 'e2e' : 'unit'
}

/** @param {string} file @param {readonly string[]} prefixes */
function isIn(file, prefixes) {
  return prefixes.some((prefix) => file.startsWith(prefix))
}

/** @param {string} file @param {string} pattern */
function matches(file, pattern) {
  if (!pattern.includes('*')) return file.includes(pattern.replace(/^\.\//, ''))
  const source = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`(^|/)${source.join('.*')}$`).test(file)
}
