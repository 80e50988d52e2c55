/**
 * Images in line to be completed. Each registry has a line of its own, so that one which hangs holds up no other; the registries take turns. Within a
 * line what a client asked for last has the first turn; then those that clients asked for and those that were left take turns, whichever there are more of.
 */
import type { Registry } from '../oci/name.ts'
import type { ManifestEntry } from './catalog.ts'
import type { Source } from './sources.ts'

/** How far the completion of an image has come. */
export type Image = {
  readonly entry: ManifestEntry
  /** Where it was asked for. */
  source: Source
  /** The index of the blob to look at next. */
  next: number
  /** Blobs that are not stored, of those that were looked at. */
  missing: number
  /** Downloads that were begun. */
  started: number
  /** Blobs that were looked at in this turn. */
  looks: number
  asked: boolean
  /** The id of the request that asked for it last. */
  startedBy: string | undefined
}

type Line = {
  readonly images: Map<ManifestEntry, Image>
  readonly first: Image[]
  readonly asked: Set<Image>
  readonly left: Set<Image>
  askedNext: boolean
}

export class ImageLine {
  /** In the order of their turns. */
  readonly #lines = new Map<Registry, Line>()
  #size = 0

  /** @param limit of images altogether; one more is not taken in */
  constructor(private readonly limit: number) {}

  /**
   * @param asked whether a client asks for it just now; otherwise one that is under way is looked at from its start again
   * @param startedBy the id of the client's request
   */
  add(entry: ManifestEntry, source: Source, asked: boolean, startedBy?: string): void {
    const line: Line = this.#lines.get(source.registry) ?? {
      images: new Map(),
      first: [],
      asked: new Set(),
      left: new Set(),
      askedNext: true,
    }
    const known = line.images.get(entry)
    if (known === undefined && this.#size >= this.limit) return
    const image: Image = known ?? { entry, source, next: 0, missing: 0, started: 0, looks: 0, asked, startedBy }
    if (known === undefined) {
      this.#size++
      this.#lines.set(source.registry, line)
      line.images.set(entry, image)
      if (!asked) line.left.add(image)
    }
    if (asked) {
      image.source = source
      image.startedBy = startedBy
      if (line.left.delete(image) || line.asked.delete(image) || known === undefined) line.first.push(image)
      image.asked = true
    } else {
      image.next = 0
      image.missing = 0
    }
  }

  /** The image whose turn it is, of the registries that may go on; it is `putBack` or `leave`s. */
  take(mayGoOn: (registry: Registry) => boolean): Image | undefined {
    for (const [registry, line] of this.#lines) {
      if (line.first.length + line.asked.size + line.left.size === 0 || !mayGoOn(registry)) continue
      this.#lines.delete(registry)
      this.#lines.set(registry, line) // its next turn is behind the others'
      return line.first.pop() ?? firstOfBoth(line)
    }
    return undefined
  }

  /** @param isOver whether its turn is: else it goes on with that, before others have theirs */
  putBack(image: Image, isOver: boolean): void {
    const line = this.#lines.get(image.source.registry)
    if (!isOver) {
      line?.first.push(image)
      return
    }
    image.looks = 0
    line?.[image.asked ? 'asked' : 'left'].add(image)
  }

  leave(image: Image): void {
    const { registry } = image.source
    const line = this.#lines.get(registry)
    if (line?.images.delete(image.entry) !== true) return
    this.#size--
    if (line.images.size === 0) this.#lines.delete(registry)
  }
}

function firstOfBoth(line: Line): Image | undefined {
  const queue = line.left.size === 0 || (line.askedNext && line.asked.size > 0) ? line.asked : line.left
  line.askedNext = queue === line.left
  const image = queue.values().next().value
  if (image !== undefined) queue.delete(image)
  return image
}
