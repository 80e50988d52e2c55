/** `npm run docs`: brings what is generated in the documentation up to date. */
import { readFileSync, writeFileSync } from 'node:fs'
import { withReference } from './settings-reference.ts'

const page = new URL('../docs/operations.md', import.meta.url)
writeFileSync(page, withReference(readFileSync(page, 'utf8')))
