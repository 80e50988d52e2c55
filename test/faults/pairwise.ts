/** Pairwise testing: few combinations, in which every two values of different factors meet at least once. Pure, and the same on every run. */
import { Random } from '../support/property.ts'

type Combination = readonly number[]

/** @param sizes how many values each factor has, one or more. @returns indices of values, one per factor; at most as many as it takes to cover all pairs greedily */
export function pairwise(sizes: readonly number[]): Combination[] {
  const open = new Set(allPairs(sizes))
  const random = new Random(1)
  const combinations: Combination[] = []
  while (open.size > 0) {
    const combination = bestCombination(sizes, open, random)
    for (const pair of pairsOf(combination)) open.delete(pair)
    combinations.push(combination)
  }
  return combinations
}

/** Every pair that two values of different factors make, by name. */
export function allPairs(sizes: readonly number[]): string[] {
  return sizes.flatMap((size, factor) =>
    sizes
      .slice(factor + 1)
      .flatMap((otherSize, between) =>
        range(size).flatMap((value) => range(otherSize).map((other) => nameOf(factor, value, factor + 1 + between, other))),
      ),
  )
}

/** The pairs that a combination covers, by name. */
export function pairsOf(combination: Combination): string[] {
  return combination.flatMap((value, factor) =>
    combination.slice(factor + 1).map((other, between) => nameOf(factor, value, factor + 1 + between, other)),
  )
}

/** Begins with the first open pair, so that each combination covers at least that one, and adds the value that covers most, factor by factor. */
function bestCombination(sizes: readonly number[], open: ReadonlySet<string>, random: Random): Combination {
  const [first = ''] = open
  const chosen = new Map(first.split(' ').map((part) => part.split('=').map(Number) as [factor: number, value: number]))
  for (const [factor, size] of sizes.entries()) {
    if (chosen.has(factor)) continue
    const gains = range(size).map((value) => gainOf(factor, value, chosen, open))
    const most = Math.max(...gains)
    chosen.set(factor, random.pick(range(size).filter((value) => gains[value] === most)))
  }
  return sizes.map((_, factor) => chosen.get(factor) ?? 0)
}

/** The pairs that a value of a factor would add. */
function gainOf(factor: number, value: number, chosen: ReadonlyMap<number, number>, open: ReadonlySet<string>): number {
  return [...chosen].filter(([other, its]) => open.has(sorted(factor, value, other, its))).length
}

function sorted(factor: number, value: number, other: number, its: number): string {
  return factor < other ? nameOf(factor, value, other, its) : nameOf(other, its, factor, value)
}

function nameOf(factor: number, value: number, other: number, its: number): string {
  return `${factor}=${value} ${other}=${its}`
}

function range(size: number): number[] {
  return Array.from({ length: size }, (_, index) => index)
}
