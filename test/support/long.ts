/** Whether drills run at their full length, as `npm run test:drills` has it; `npm test` runs their short form. */
export const isLong: boolean = process.env["HOLDFAST_LONG"] === "1";
