/** What a test needs of the machine, as the reason to skip it: `package: ...` or `privilege: ...` (scripts/test.mjs counts them apart). */
import { findCommand, packages } from '../../../scripts/packages.mjs'

/** For `test(name, { skip: lacks('skopeo') }, ...)`: false when all commands are there. */
export function lacks(...commands: string[]): string | false {
  const missing = commands.filter((command) => findCommand(command) === undefined)
  if (missing.length === 0) return false
  const names = [...new Set(missing.map((command) => packages.get(command) ?? command))]
  return `package: ${missing.join(', ')} not found; "npm test" as root installs it, or: apt-get install --no-install-recommends ${names.join(' ')}`
}

/** The path of a command that `lacks` has found. */
export function commandPath(command: string): string {
  return findCommand(command) ?? command
}
