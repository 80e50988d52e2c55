/** The URL of a request as a log may show it: of its query only what is known to be no secret, and no user or password. */

/** The parameters of the pull API and of the admin API. */
const HARMLESS: ReadonlySet<string> = new Set([
  ...['ns', 'n', 'last', 'artifactType', 'digest', 'mount', 'from'],
  ...['pattern', 'substr', 'count', 'ref', 'type', 'dur', 'expr', 'maxSize', 'keep', 'dryRun', 'verbose'],
])

export function safeUrl(url: string): string {
  const mark = url.indexOf('?')
  const path = mark < 0 ? url : url.slice(0, mark)
  const shown = path.startsWith('/') ? path : path.replace(/\/\/[^/]*@/, '//')
  return mark < 0
    ? shown
    : `${shown}?${url
        .slice(mark + 1)
        .split('&')
        .map(safeParameter)
        .join('&')}`
}

function safeParameter(parameter: string): string {
  const [name = ''] = parameter.split('=', 1)
  return name.length === parameter.length || HARMLESS.has(name) ? parameter : `${name}=…`
}
