/** The program: arguments in, exit code out. */
import { processIo } from './cli/io.ts'
import { run } from './cli/run.ts'

run(process.argv.slice(2), processIo()).then((code) => {
  // a pipe takes 64 KiB at a time: what is still on its way would be cut
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
})
