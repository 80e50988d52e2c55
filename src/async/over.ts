/** The reason to abort a wait with that is of no use any more: the error that `abort()` makes by itself, with its stack, costs more than the wait. */
export const OVER = 'over'
