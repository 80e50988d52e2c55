/** Reads `allow` and `deny`: which registries and repositories clients may pull. Names of registries are made canonical. */
import type { ReferenceGlob } from '../oci/reference-glob.ts'
import type { NameRules, RegistryConfig } from './config.ts'
import type { Findings } from './findings.ts'
import type { Section } from './section.ts'
import type { settings } from './settings.ts'
import { canonicalGlob } from './tag-policy.ts'

/** @returns rules that can be used only if `findings` has no mistake */
export function toNameRules(
  { values, lines, line }: Section<typeof settings>,
  registries: readonly RegistryConfig[],
  findings: Findings,
): NameRules {
  const globsOf = (key: 'allow' | 'deny'): ReferenceGlob[] =>
    (values[key] ?? []).map((glob, i) =>
      canonicalGlob(glob, registries, (problem) => findings.mistake(lines[key] ?? line, `${key}[${i}]`, problem)),
    )
  return { allow: globsOf('allow'), deny: globsOf('deny') }
}
