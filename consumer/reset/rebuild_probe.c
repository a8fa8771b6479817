/*
 * rebuild_probe.c: see rebuild_probe.h.
 */
#include "consumer/reset/rebuild_probe.h"

#include <sys/socket.h>
#include <unistd.h>

/* Length 8, then the code 80877103: SSLRequest. Answered with one byte, S or N. */
static const unsigned char ssl_request[] = { 0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f };

void probe_stop(struct probe *p)
{
	if (p->asking && p->fd >= 0)
		close(p->fd);
	p->asking = false;
}

void probe_start(struct probe *p, int connected_fd, struct mono now, int64_t timeout_ms)
{
	struct sockaddr_storage address = { 0 };
	socklen_t len = sizeof(address);

	*p = (struct probe){ .asking = true, .fd = -1, .until = mono_add_ms(now, timeout_ms) };
	if (getpeername(connected_fd, (struct sockaddr *)&address, &len) != 0)
		return;
	p->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* If it cannot connect, the send fails. */
	if (p->fd >= 0)
		(void)!connect(p->fd, (struct sockaddr *)&address, len);
}

enum probe_answer probe_turn(struct probe *p, struct mono now)
{
	char byte;

	if (p->fd >= 0 && !p->sent)
		p->sent = send(p->fd, ssl_request, sizeof(ssl_request), MSG_NOSIGNAL) ==
			  (ssize_t)sizeof(ssl_request);
	if (p->fd >= 0 && p->sent && recv(p->fd, &byte, 1, 0) == 1) {
		probe_stop(p);
		return PROBE_ALIVE;
	}
	if (!mono_reached(p->until, now))
		return PROBE_WAITING;
	probe_stop(p);
	return PROBE_SILENT;
}
