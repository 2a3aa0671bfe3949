/**
 * What a field begins with that is 0 at first and holds fractions later. V8 takes 0 for an integer, and lays every object of the class out again
 * when the first fraction comes: all optimized code that knows one of them is thrown away and compiled again, with all that is inlined there.
 * A negative zero is no integer, and counts as 0; `+ 0` makes 0 of it where others are told.
 */
export const noFraction: number = -0;
