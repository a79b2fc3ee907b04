// Ids that the examples of the API's document share. The tests make what they name and send each example.
/** A run that is going on. */
export const EXAMPLE_RUN = 'r0-2c9x0f4kq7w1m5t8z3ba';
/** A run that failed in its second step. */
export const EXAMPLE_ENDED = 'r0-7h3n5v9s1d6k2p8y4c0e';
/** A task of the run that failed. */
export const EXAMPLE_TASK = `${EXAMPLE_ENDED}.1.0`;
/** A token that there is. */
export const EXAMPLE_TOKEN = '5f2b9c04d1aa';
/** A file that started a run. */
export const EXAMPLE_FILE = 'in/photos/holiday.jpg';
/** A webhook that there is. */
export const EXAMPLE_WEBHOOK = '3c9a1f04be72';
