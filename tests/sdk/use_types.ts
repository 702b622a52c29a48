// What openapi-typescript makes is usable: this compiles, or the types are wrong.
import createClient from "openapi-fetch";
import type { components, paths } from "./types.js";

const api = createClient<paths>({ baseUrl: "https://auth.example.com" });

export async function firstUser(): Promise<string | null> {
  const { data, error } = await api.GET("/v1/admin/users", { params: { query: { limit: 1 } } });
  if (error !== undefined) throw new Error(error.code);
  return data.users[0]?.name ?? null;
}

export const previous: components["schemas"]["ApiKey"]["previous_secret"] = null;
export const more: components["schemas"]["Feed"]["has_more"] = false;
