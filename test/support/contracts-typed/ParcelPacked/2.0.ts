import { z } from "zod";

/** The amount is a number from here on; the text lives on for this major. */
const orderPlaced: z.ZodType<{ orderId: string; cents: number; amount: string; note?: string | undefined }> = z
  .object({
    orderId: z.string().describe("The shop's own number"),
    cents: z.int().nonnegative(),
    amount: z.string().meta({ deprecated: true }),
    note: z.string().optional(),
  })
  .meta({ title: "An order was placed" });
export default orderPlaced;
