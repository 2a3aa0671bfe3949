// Written by `holdfast contracts types`. Do not edit it: change the contracts, and have it written again.

declare module "holdfast" {
  interface EventContracts {
    ParcelPacked: {
      "1.0": ParcelPacked_1_0.Payload;
      "1.1": ParcelPacked_1_1.Payload;
      "2.0": ParcelPacked_2_0.Payload;
      "1.x": ParcelPacked_1_1.Payload;
      "2.x": ParcelPacked_2_0.Payload;
    };
    ParcelSent: {
      "1.0": ParcelSent_1_0.Payload;
      "1.x": ParcelSent_1_0.Payload;
    };
  }
}

export declare namespace ParcelPacked_1_0 {
  /** An order was placed */
  export type Payload = {
    /** The shop's own number */
    readonly orderId: string;
    /**
     * In euros, as text
     * @deprecated
     */
    readonly amount: string;
  };
}

export declare namespace ParcelPacked_1_1 {
  /** An order was placed */
  export type Payload = {
    /** The shop's own number */
    readonly orderId: string;
    /**
     * In euros, as text
     * @deprecated
     */
    readonly amount: string;
    readonly note?: string;
  };
}

export declare namespace ParcelPacked_2_0 {
  /** An order was placed */
  export type Payload = {
    /** The shop's own number */
    readonly orderId: string;
    readonly cents: number;
    /** @deprecated */
    readonly amount: string;
    readonly note?: string;
  };
}

export declare namespace ParcelSent_1_0 {
  /** An order left the house */
  export type Payload = {
    readonly orderId: string;
    readonly at: string;
  };
}

export {};
