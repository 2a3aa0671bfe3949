// The certificate for TLS: the one that was given, or one that the broker makes for itself when the first client asks for TLS.
// In a folder that keeps messages it is kept, too, so that clients that were told to trust it do so after a restart.
import { X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import type * as selfsigned from "selfsigned";

export interface Certificate {
  /** Both PEM. */
  readonly cert: string;
  readonly key: string;
}

const validMs = 365 * 86_400_000;

/** A kept certificate that ends within this time is made again. */
const renewedMs = 30 * 86_400_000;
const fileName = "certificate.pem";

/** A certificate cannot be used. */
export class CertificateError extends Error {
  readonly code = "Certificate";
}

/** @throws CertificateError when certificate and key do not fit */
export function checkCertificate({ cert, key }: Certificate): void {
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new CertificateError(`expected a certificate and its key, both PEM, found ${(error as Error).message}`);
  }
}

/** The one that is kept in a folder, or a new one, which is kept there from now on. */
export async function keptCertificate(folder: string, host: string): Promise<Certificate> {
  const path = join(folder, fileName);
  const kept = readKept(path, host);
  if (kept !== undefined) return kept;
  const made = await makeCertificate(host);
  writeFileSync(path, `${made.key}\n${made.cert}`, { mode: 0o600 });
  return made;
}

function readKept(path: string, host: string): Certificate | undefined {
  try {
    const text = readFileSync(path, "utf8");
    const at = text.indexOf("-----BEGIN CERTIFICATE-----");
    const kept = { key: text.slice(0, at), cert: text.slice(at) };
    checkCertificate(kept);
    const certificate = new X509Certificate(kept.cert);
    const isGood = certificate.validToDate.getTime() > Date.now() + renewedMs && (certificate.checkHost(host) ?? certificate.checkIP(host)) !== undefined;
    return isGood ? kept : undefined;
  } catch {
    // There is none yet, or none that can be used.
    return undefined;
  }
}

/** An optional dependency: a worker has no use for it, and an image is made without it. */
async function certificateMaker(): Promise<typeof selfsigned> {
  try {
    return await import("selfsigned");
  } catch (error) {
    throw new CertificateError(
      `expected the package selfsigned, to make a certificate for TLS, found ${(error as Error).message}; install it, or give --tls-cert and --tls-key`,
      { cause: error },
    );
  }
}

/** Makes a certificate for this machine. It signs itself, so clients that check must be told to trust it. */
export async function makeCertificate(host: string): Promise<Certificate> {
  const { generate } = await certificateMaker();
  const addresses = [...new Set(["127.0.0.1", "::1", ...(/^[\d.]+$|:/.test(host) ? [host] : [])])];
  const names = [...new Set(["localhost", ...(/^[\d.]+$|:/.test(host) ? [] : [host])])];
  const { cert, private: key } = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    algorithm: "sha256",
    notAfterDate: new Date(Date.now() + validMs),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", digitalSignature: true, keyCertSign: true },
      { name: "extKeyUsage", serverAuth: true },
      { name: "subjectAltName", altNames: [...names.map((value) => ({ type: 2 as const, value })), ...addresses.map((ip) => ({ type: 7 as const, ip }))] },
    ],
  });
  return { cert, key };
}
