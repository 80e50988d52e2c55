/** Loads a configuration from text, as if it had been given with `--config-file`. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { parseCommandLine } from '../../src/config/flags.ts'
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts'
import { systemClock } from '../../src/observe/clock.ts'
import { temporaryDirectory } from '../support/files.ts'

export const PLATFORM = { os: 'plan9', architecture: 'mips' }

type Around = { readonly args?: readonly string[]; readonly env?: Readonly<Record<string, string>> }

/** @param args flags beside the file */
export async function loadText(t: TestContext, text: string | Uint8Array, { args = [], env = {} }: Around = {}): Promise<LoadedConfig> {
  const file = join(await temporaryDirectory(t), 'config.yaml')
  await writeFile(file, text)
  return hidePath(file, () =>
    loadConfig({ flags: parseCommandLine(['--config-file', file, ...args]), env, platform: PLATFORM, clock: systemClock }),
  )
}

/** @param line without the path of the file: `config.yaml:1: …` */
export async function assertMistake(t: TestContext, text: string | Uint8Array, line: string, around: Around = {}): Promise<void> {
  await assert.rejects(loadText(t, text, around), { name: 'ConfigError', message: line })
}

/** The directory has another name in each run. */
async function hidePath(file: string, load: () => Promise<LoadedConfig>): Promise<LoadedConfig> {
  try {
    const { warnings, settings, ...rest } = await load()
    const hide = (text: string) => text.replaceAll(file, 'config.yaml')
    return { ...rest, warnings: warnings.map(hide), settings: settings.map((each) => ({ ...each, from: hide(each.from) })) }
  } catch (error) {
    if (error instanceof Error) error.message = error.message.replaceAll(file, 'config.yaml')
    throw error
  }
}
