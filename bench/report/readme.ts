/** Puts the table into bench/README.md, between two marks. */
import { readFile, writeFile } from 'node:fs/promises'

const begin = '<!-- table: npm run bench -- --write -->\n'
const end = '<!-- end of table -->\n'

export async function writeTable(path: string, text: string): Promise<void> {
  const page = await readFile(path, 'utf8')
  const [before, rest] = page.split(begin)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined) throw new Error(`${path} lacks the marks between which the table belongs`)
  await writeFile(path, `${before}${begin}\n${text}\n${end}${after}`)
}
