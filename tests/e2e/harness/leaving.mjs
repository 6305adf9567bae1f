// Clients that hang up.

/**
 * Sends a request and hangs up once `moment` has come: with a reset, since to TCP a mere close may still mean to listen.
 * Resolves with whether the moment came before an answer did.
 */
export async function leaveAt(stack, path, options, moment) {
  let request;
  const onRequest = (made) => {
    request = made;
  };
  const answered = stack.send(path, { ...options, onRequest }).then(
    () => true,
    () => false,
  );
  const came = await Promise.race([moment().then(() => true), answered.then(() => false)]);
  request.socket.resetAndDestroy();
  await answered;
  return came;
}
