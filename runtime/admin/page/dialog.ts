/** Asks why something is to be changed, and does it. Escape, or Cancel, leaves all as it is. */
import { h, type ComponentChild } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { messageOf } from "./api.ts";

export interface Question {
  readonly title: string;
  /** What will happen. */
  readonly says: string;
  /** On the button that does it. */
  readonly verb: string;
  /** A choice beside the reason. */
  readonly choice?: { readonly label: string; readonly options: readonly (readonly [value: string, text: string])[] };
  act(reason: string, choice: string): Promise<void>;
}

/** Asks before something is changed; undefined for who may only look. */
export type Ask = ((question: Question) => void) | undefined;

interface LeverProps {
  readonly ask: Ask;
  readonly question: Question;
  /** What it is about, for who does not see where it stands. */
  readonly label?: string;
  readonly text: string;
}

/** A button that changes something; none for who may not. */
export function Lever({ ask, question, label, text }: LeverProps): ComponentChild {
  if (ask === undefined) return null;
  return h("button", { type: "button", ...(label === undefined ? {} : { "aria-label": label }), onClick: () => ask(question) }, text);
}

interface DialogProps {
  readonly question: Question;
  readonly close: () => void;
}

export function Dialog({ question, close }: DialogProps): ComponentChild {
  const { title, says, verb, choice } = question;
  const place = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState("");
  const [chosen, setChosen] = useState(choice?.options[0]?.[0] ?? "");
  const [trouble, setTrouble] = useState("");
  useEffect(() => place.current?.showModal(), []);
  const submit = (event: Event): void => {
    event.preventDefault();
    question.act(reason, chosen).then(close, (error: unknown) => setTrouble(messageOf(error)));
  };
  return h(
    "dialog",
    { ref: place, onClose: close, "aria-labelledby": "dialog-title" },
    h(
      "form",
      { onSubmit: submit },
      h("h2", { id: "dialog-title" }, title),
      h("p", null, says),
      choice === undefined
        ? null
        : [
            h("label", { for: "dialog-choice" }, choice.label),
            h(
              "select",
              { id: "dialog-choice", value: chosen, onChange: (event: Event) => setChosen((event.target as HTMLSelectElement).value) },
              choice.options.map(([value, text]) => h("option", { value }, text)),
            ),
          ],
      h("label", { for: "dialog-reason" }, "Why (kept in the audit)"),
      h("input", {
        id: "dialog-reason",
        required: true,
        maxLength: 200,
        autocomplete: "off",
        value: reason,
        onInput: (event: Event) => setReason((event.target as HTMLInputElement).value),
      }),
      trouble === "" ? null : h("p", { class: "trouble", role: "alert" }, trouble),
      h("div", { class: "actions" }, h("button", { type: "button", onClick: close }, "Cancel"), h("button", { type: "submit", class: "is-main" }, verb)),
    ),
  );
}
