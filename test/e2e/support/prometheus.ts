/** Debian's Prometheus, scraping servers each second. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../../../scripts/root.mjs'
import type { Cleanup } from './cleanup.ts'
import { until } from './poll.ts'
import { freePort } from './ports.ts'
import { start } from './processes.ts'
import { commandPath } from './requirements.ts'
import { testDirectory } from './run-directory.ts'

export const RULES = join(root, 'observability/prometheus/rules.yaml')

export type Prometheus = {
  /** Values by now, one for each combination of labels. */
  query(expression: string): Promise<readonly number[]>
  /** The alerting rules, and how they do. */
  rules(): Promise<readonly { readonly name: string; readonly health: string; readonly state: string }[]>
}

/** @param targets `host:port` of metrics */
export async function startPrometheus(t: Cleanup, targets: readonly string[]): Promise<Prometheus> {
  const directory = await testDirectory(t)
  const configFile = join(directory, 'prometheus.yaml')
  await writeFile(
    configFile,
    `global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [${JSON.stringify(RULES)}]
scrape_configs: [{job_name: ociregistry, static_configs: [{targets: ${JSON.stringify(targets)}}]}]
`,
  )
  const url = `http://127.0.0.1:${await freePort()}`
  const args = [
    `--config.file=${configFile}`,
    `--storage.tsdb.path=${join(directory, 'data')}`,
    `--web.listen-address=${new URL(url).host}`,
  ]
  const running = start(t, 'prometheus', commandPath('prometheus'), args, { cwd: directory })
  await until('Prometheus is ready', async () => {
    if (running.exit() !== undefined) throw new Error(`Prometheus ended: ${running.output()}`)
    return (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok
  })
  return {
    async query(expression) {
      const { result } = await api<{ result: readonly { value: readonly [number, string] }[] }>(
        `${url}/api/v1/query?query=${encodeURIComponent(expression)}`,
      )
      return result.map(({ value: [, text] }) => Number(text))
    },
    async rules() {
      const { groups } = await api<{ groups: readonly { rules: Awaited<ReturnType<Prometheus['rules']>> }[] }>(`${url}/api/v1/rules`)
      return groups.flatMap(({ rules }) => rules)
    },
  }
}

async function api<T>(url: string): Promise<T> {
  const answer = (await (await fetch(url)).json()) as { status: string; data: T; error?: string }
  if (answer.status !== 'success') throw new Error(`${url}: ${answer.error}`)
  return answer.data
}
