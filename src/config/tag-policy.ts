/** Reads what the settings say of cached tags beyond their own syntax: names of registries are made canonical, expressions are compiled. */
import { looksLikeHost, type Registry } from '../oci/name.ts'
import { type ReferenceGlob, registryOfGlob, withRegistryOfGlob } from '../oci/reference-glob.ts'
import type { RegistryConfig, TagRule } from './config.ts'
import { ConfigError } from './error.ts'
import { type Expression, parseExpression } from './expression.ts'
import type { Findings } from './findings.ts'
import type { CommandLine } from './flags.ts'
import type { Section } from './section.ts'
import { settings, type TagRuleSection } from './settings.ts'
import { showKey, showPart } from './tree.ts'

/** Aliases are for clients; references have the name of the entry. */
export function canonicalRegistry(registry: Registry, registries: readonly RegistryConfig[]): Registry {
  return registries.find(({ name, aliases }) => name === registry || aliases.includes(registry))?.name ?? registry
}

/** @returns rules that can be used only if `findings` has no mistake */
export function toTagPolicy(rules: readonly TagRuleSection[], registries: readonly RegistryConfig[], findings: Findings): TagRule[] {
  return rules.flatMap(({ line, values: { match, revalidate }, lines }, i): TagRule[] => {
    const at = `tagPolicy[${i}]`
    if (match === undefined) findings.mistake(line, `${at}.match`, `found nothing, want a glob on registry/repository:tag`)
    if (revalidate === undefined) findings.mistake(line, `${at}.revalidate`, 'found nothing, want never, always or a duration')
    if (match === undefined || revalidate === undefined) return []
    return [
      { match: canonicalGlob(match, registries, (problem) => findings.mistake(lines.match ?? line, `${at}.match`, problem)), revalidate },
    ]
  })
}

/** An alias gives way to the name that references have. */
export function canonicalGlob(
  match: ReferenceGlob,
  registries: readonly RegistryConfig[],
  mistake: (problem: string) => void,
): ReferenceGlob {
  const named = registryOfGlob(match)
  if (named === undefined) return match
  const registry = canonicalRegistry(named, registries)
  const isKnown = looksLikeHost(registry) || registries.some(({ name }) => name === registry)
  if (!isKnown) mistake(`found ${showKey(registry)} as its registry, which has no entry, want one first: docker.io/${match.text}`)
  return registry === named ? match : withRegistryOfGlob(match, registry)
}

/** @throws ConfigError for an expression that is none, naming the flag or the line */
export async function readSkipTags(
  configFile: string,
  { values, lines }: Section<typeof settings>,
  flags: Pick<CommandLine, 'values'>,
): Promise<Expression | undefined> {
  const source = flags.values.skipTags ?? values.skipTags
  if (source === undefined) return undefined
  try {
    return await parseExpression(source)
  } catch (cause) {
    const at = flags.values.skipTags === undefined ? `${configFile}:${lines.skipTags}: skipTags` : settings.skipTags.flag
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new ConfigError(`${at}: found ${JSON.stringify(showPart(source))} (${why}), want ${settings.skipTags.type.want}`, { cause })
  }
}
