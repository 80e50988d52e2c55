/** What is different between two readings of the configuration. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { EffectiveSetting } from './effective.ts'

export type Changes = {
  /** One text for each key that counts at once: `logLevel: error -> debug`; of a secret only that it has changed. */
  readonly live: readonly string[]
  /** Keys that wait for a restart. */
  readonly waiting: readonly string[]
  /** What counts from now on: to be compared with the next reading, so that what waits is said again. */
  readonly settings: readonly EffectiveSetting[]
}

/** Its files count at once, unless TLS is switched on or off, or `clientAuth` is another: then all of it waits. */
const TLS = 'serverTlsConfig.'

/** @param running what counts now. @param read what was read just now */
export function changesBetween(running: readonly EffectiveSetting[], read: readonly EffectiveSetting[]): Changes {
  const [before, after] = [byKey(running), byKey(read)]
  const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
    (key) => !isDeepStrictEqual(before.get(key)?.value, after.get(key)?.value),
  )
  const hasTls = (settings: ReadonlyMap<string, EffectiveSetting>) => settings.get(`${TLS}cert`)?.value !== undefined
  const isTlsSwitched = hasTls(before) !== hasTls(after) || changed.includes(`${TLS}clientAuth`)
  const isLive = (key: string) => (after.get(key) ?? before.get(key))?.isLive === true && !(isTlsSwitched && key.startsWith(TLS))
  return {
    live: changed.filter(isLive).map((key) => describeChange(key, before.get(key), after.get(key))),
    waiting: changed.filter((key) => !isLive(key)),
    settings: [...running.filter(({ key }) => !isLive(key)), ...read.filter(({ key }) => isLive(key))],
  }
}

function byKey(settings: readonly EffectiveSetting[]): ReadonlyMap<string, EffectiveSetting> {
  return new Map(settings.map((setting) => [setting.key, setting]))
}

function describeChange(key: string, before: EffectiveSetting | undefined, after: EffectiveSetting | undefined): string {
  return `${key}: ${before?.text ?? 'nothing'} -> ${after?.text ?? 'nothing'}`
}
