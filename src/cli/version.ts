/** The command `version`. */
import { BUILD_DATE, VERSION } from './build-info.ts'
import type { Command } from './command.ts'

export const version: Command = {
  name: 'version',
  aliases: [],
  summary: 'Print the version and the date of its build',
  examples: ['ociregistry version', 'ociregistry --version'],
  run(_line, io) {
    io.stdout(`ociregistry version: ${VERSION} build date: ${BUILD_DATE}\n`)
    return 0
  },
}
