// A file that stands beside the page.

/** What the server answers for it; an error says in a sentence why there is none. */
export async function fetched(url) {
  const { pathname } = url;
  const response = await fetch(url).catch(() => {
    const cure = "Start it again, and reload the page.";
    throw new Error(`${pathname} cannot be fetched: the server cannot be reached. ${cure}`);
  });
  if (!response.ok) throw new Error(`${pathname} cannot be fetched: the server says ${response.status}.`);
  return response;
}
