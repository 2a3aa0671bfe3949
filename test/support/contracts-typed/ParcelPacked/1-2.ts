interface Before {
  readonly orderId: string;
  readonly amount: string;
  readonly note?: string;
}

export default function upcast(payload: Before): Before & { readonly cents: number } {
  return { ...payload, cents: Math.round(Number(payload.amount) * 100) };
}
