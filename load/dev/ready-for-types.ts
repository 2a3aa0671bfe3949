/** What takes types off is loaded with the first file that has some: here, before anybody waits for a file of theirs. */
import { withoutTypes } from "#runtime/admin/assets.ts";

withoutTypes("const any: number = 1;");
