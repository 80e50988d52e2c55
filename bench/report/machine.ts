/** Where and when it was measured, without which the numbers mean nothing. */
import { spawnSync } from 'node:child_process'
import { cpus, release, totalmem } from 'node:os'
import { commandPath } from '../../test/e2e/support/requirements.ts'

export type Machine = {
  readonly cpu: string
  readonly cores: number
  readonly memoryGib: number
  readonly kernel: string
  readonly node: string
  readonly programs: Readonly<Record<string, string>>
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.versions.node,
    programs: {
      'docker-registry': versionOf('docker-registry', '--version'),
      nginx: versionOf('nginx', '-v'),
      curl: versionOf('curl', '--version'),
      wrk: versionOf('wrk', '-v'),
    },
  }
}

/** The first number with dots that it prints. */
function versionOf(command: string, flag: string): string {
  const { stdout, stderr } = spawnSync(commandPath(command), [flag], { encoding: 'utf8' })
  return /\d+\.\d+[\w.+~-]*/.exec(`${stdout}${stderr}`)?.[0] ?? 'unknown'
}

export function machineLine({ cpu, cores, memoryGib, kernel, node, programs }: Machine): string {
  const versions = Object.entries(programs).map(([name, version]) => `${name} ${version}`)
  return `${cpu}, ${cores} cores, ${memoryGib} GiB; Linux ${kernel}; Node ${node}; ${versions.join(', ')}`
}
