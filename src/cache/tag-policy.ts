/** Tag policy: when a cached tag is checked upstream. Pure; asks nobody and holds no content. */
import { Lru } from '../async/lru.ts'
import type { Config, Revalidate } from '../config/config.ts'
import { isMachineryTag, type Tag } from '../oci/name.ts'
import { matchesGlob } from '../oci/reference-glob.ts'

export type TagSettings = Pick<Config, 'tagPolicy' | 'skipTags' | 'cacheManifests' | 'alwaysPullLatest'>

/** New signatures of an image come under the same tag, `sha256-<hex>.sig`: without a check nobody would ever see them. */
const MACHINERY_MS = 3600_000
/** References whose rule is remembered; it costs 2 µs and more to find. */
const REMEMBERED = 4096

export class TagPolicy {
  readonly #settings: TagSettings
  #found: Lru<string, Revalidate> | undefined

  /** @param settings read each time; after a change, `reconfigure` is called */
  constructor(settings: TagSettings) {
    this.#settings = settings
    this.reconfigure()
  }

  /** Forgets what was found by rules that may count no longer. */
  reconfigure(): void {
    const { tagPolicy, skipTags } = this.#settings
    const isPlain = tagPolicy.length === 0 && skipTags === undefined
    this.#found = isPlain ? undefined : new Lru({ capacity: REMEMBERED })
  }

  /** @param name the whole reference, in canonical spelling */
  of(tag: Tag, name: string): Revalidate {
    if (this.#found === undefined) return restOf(this.#settings, tag)
    const known = this.#found.get(name)
    if (known !== undefined) return known
    const found = ruleFor(this.#settings, tag, name)
    this.#found.set(name, found)
    return found
  }
}

/** The user's own list first, then `skipTags`, then the rest. */
function ruleFor(settings: TagSettings, tag: Tag, name: string): Revalidate {
  const rule = settings.tagPolicy.find(({ match }) => matchesGlob(match, name))
  if (rule !== undefined) return rule.revalidate
  return settings.skipTags?.matches(tag) === true ? 'always' : restOf(settings, tag)
}

function restOf({ cacheManifests, alwaysPullLatest }: TagSettings, tag: Tag): Revalidate {
  if (!cacheManifests || (alwaysPullLatest && tag === 'latest')) return 'always'
  return isMachineryTag(tag) ? MACHINERY_MS : 'never'
}

/**
 * Whether a tag is to be checked now. A last check that lies in the future was noted by a clock that was wrong.
 * @param checkedMs ms since 1970, as `nowMs`
 */
export function isDue(revalidate: Revalidate, checkedMs: number, nowMs: number): boolean {
  if (typeof revalidate !== 'number') return revalidate === 'always'
  return nowMs - checkedMs >= revalidate || checkedMs > nowMs
}
