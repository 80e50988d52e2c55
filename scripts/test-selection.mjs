/** Which steps and which test files `npm test -- <arguments>` means. */

const endToEnd = 'test/e2e/'
const allSteps = ['types', 'lint', 'unit', 'e2e']

/**
 * Arguments are names of steps (types, lint, unit, e2e), file patterns (a part of the path, or with `*`), and flags for node (`--test-name-pattern=...`).
 * @param {readonly string[]} args
 * @param {readonly string[]} files every test file, relative to the root
 */
export function select(args, files) {
  const flags = args.filter((arg) => arg.startsWith('--'))
  const words = args.filter((arg) => !arg.startsWith('--'))
  const patterns = words.filter((word) => !allSteps.includes(word))
  const named = words.length === 0 ? allSteps : allSteps.filter((step) => words.includes(step))
  const chosen = files.filter((file) => {
    const step = file.startsWith(endToEnd) ? 'e2e' : 'unit'
    return named.includes(step) || patterns.some((pattern) => matches(file, pattern))
  })
  return {
    types: named.includes('types'),
    lint: named.includes('lint'),
    unit: chosen.filter((file) => !file.startsWith(endToEnd)),
    e2e: chosen.filter((file) => file.startsWith(endToEnd)),
    flags,
    /** Patterns that mean no file at all: a slip. */
    unknown: patterns.filter((pattern) => !files.some((file) => matches(file, pattern))),
  }
}

/** @param {string} file @param {string} pattern */
function matches(file, pattern) {
  if (!pattern.includes('*')) return file.includes(pattern.replace(/^\.\//, ''))
  const source = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`(^|/)${source.join('.*')}$`).test(file)
}
