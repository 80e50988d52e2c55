/** Lists of images: one name a line, `#` for comments. A line that names nothing says why, and keeps no other from its turn. */
import { OciError } from './error.ts'
import { formatImageName, type ImageName, parseImageName, type RegistryAliases } from './image-name.ts'

export type ListedImage = { readonly line: number } & (
  | { readonly image: ImageName }
  /** What stands there, and what is wrong with it. */
  | { readonly text: string; readonly problem: string }
)

const BYTE_ORDER_MARK = '\ufeff'

/** What is named more than once counts once, where it comes first. */
export function parseImageList(text: string, aliases?: RegistryAliases): readonly ListedImage[] {
  const byName = new Map<string, ListedImage>()
  for (const [i, line] of text
    .replace(BYTE_ORDER_MARK, '')
    .split(/\r\n|\n|\r/)
    .entries()) {
    const written = line.replace(/(?:^|\s)#.*/, '').trim()
    if (written === '') continue
    const listed = parseLine(written, i + 1, aliases)
    const name = 'image' in listed ? formatImageName(listed.image) : `not a name: ${written}`
    if (!byName.has(name)) byName.set(name, listed)
  }
  return [...byName.values()]
}

function parseLine(text: string, line: number, aliases: RegistryAliases | undefined): ListedImage {
  try {
    return { line, image: parseImageName(text, aliases) }
  } catch (error) {
    if (!(error instanceof OciError)) throw error
    return { line, text, problem: error.message }
  }
}
