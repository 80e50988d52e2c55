/** Which build this is. `build.mjs` puts the two words in; run from source there is no build. */

declare const __VERSION__: string
declare const __BUILD_DATE__: string

export const VERSION = typeof __VERSION__ === 'undefined' ? 'dev' : __VERSION__
/** When the commit that it was built from was made, ISO 8601. */
export const BUILD_DATE = typeof __BUILD_DATE__ === 'undefined' ? 'dev' : __BUILD_DATE__
