/** `npm run test:soak`: a soak of the built program, and what it found. */
import { type Scope, scoped } from '../../bench/steps.ts'
import { parseOptions, usage } from './options.ts'
import { type Report, soak } from './soak.ts'

/** Exit code. */
async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args)
  if (options.help) {
    process.stdout.write(usage)
    return 0
  }
  tell(`soak of ${options.minutes} minutes with --seed ${options.seed}`)
  const report = await scoped((scope: Scope) => soak(scope, options, interruption(), tell))
  process.stdout.write(textOf(report))
  return report.findings.length === 0 ? 0 : 1
}

/** With the time, so that a long run says where it is. */
function tell(step: string): void {
  process.stderr.write(`${new Date().toISOString()} ${step}\n`)
}

function interruption(): AbortSignal {
  const controller = new AbortController()
  process.once('SIGINT', () => controller.abort())
  process.once('SIGTERM', () => controller.abort())
  return controller.signal
}

function textOf({ findings, figures }: Report): string {
  const rows = [...figures].map(([name, value]) => `${name.padEnd(44)} ${value}\n`)
  const judged = findings.length === 0 ? 'everything was as promised\n' : `${findings.length} findings:\n${findings.join('\n')}\n`
  return `\n${rows.join('')}\n${judged}`
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exitCode = 1
}
