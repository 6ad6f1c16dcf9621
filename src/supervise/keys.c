/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: the detach sequence.
 *
 * Text: keys separated by commas, each a printable character or ctrl-X with X in a-z @ [ \ ] ^ _,
 * as Docker writes them.  Bytes that may be the beginning of the sequence are kept back until the
 * next byte decides (or keys_flush).  Programs may have switched the terminal to a protocol in
 * which Ctrl-P arrives as "ESC [ 112 ; 5 u"; that form counts as the same key.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

static int parse_key(const char *s, size_t n, unsigned char *ret)
{
	static const char signs[] = "@[\\]^_";
	char c;

	if (n == 1 && s[0] > ' ' && s[0] < 0x7f) {
		*ret = (unsigned char)s[0];
		return 0;
	}
	if (n != 6 || strncmp(s, "ctrl-", 5) != 0)
		return -EINVAL;
	c = s[5];
	if (c >= 'A' && c <= 'Z')
		c = (char)(c - 'A' + 'a');
	if ((c < 'a' || c > 'z') && (c == '\0' || !strchr(signs, c)))
		return -EINVAL;
	*ret = (unsigned char)(c & 0x1f);
	return 0;
}

int keys_parse(const char *text, struct keys *ret)
{
	struct keys k = { 0 };
	const char *p = text ? text : "ctrl-p,ctrl-q";

	while (*p) {
		const char *comma = strchrnul(p, ',');

		if (k.n == KEYS_MAX || parse_key(p, (size_t)(comma - p), &k.key[k.n]) < 0)
			return -EINVAL;
		k.n++;
		if (*comma && !comma[1])
			return -EINVAL;
		p = *comma ? comma + 1 : comma;
	}
	*ret = k;
	return 0;
}

int relay_check_keys(const char *keys)
{
	struct keys k;

	return keys_parse(keys, &k);
}

enum match { MATCH_NO, MATCH_PART, MATCH_FULL };

/* Is s (n bytes) the key in one of its forms, or the beginning of one? */
static enum match match_key(unsigned char key, const char *s, size_t n)
{
	char form[24];
	int len;

	if (n == 1 && (unsigned char)s[0] == key)
		return MATCH_FULL;
	if (key >= 0x20)
		return MATCH_NO;
	/* letters are reported in lower case, the signs as themselves */
	len = snprintf(form, sizeof(form), "\033[%u;5u",
		       key >= 1 && key <= 26 ? key + 'a' - 1U : key + '@' + 0U);
	if (n <= (size_t)len && memcmp(form, s, n) == 0)
		return n == (size_t)len ? MATCH_FULL : MATCH_PART;
	return MATCH_NO;
}

void keys_flush(struct keys *k, struct buf *out)
{
	buf_add(out, k->held, k->nheld);
	k->nheld = 0;
	k->matched = 0;
	k->key_start = 0;
}

bool keys_feed(struct keys *k, const char *bytes, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		bool fresh = k->nheld == 0;

		if (k->n == 0 || k->nheld == KEYS_HELD_MAX) {
			keys_flush(k, out);
			if (k->n == 0) {
				buf_add(out, bytes + i, n - i);
				return false;
			}
			fresh = true;
		}
		k->held[k->nheld++] = bytes[i];
		switch (match_key(k->key[k->matched], k->held + k->key_start,
				  k->nheld - k->key_start)) {
		case MATCH_PART:
			break;
		case MATCH_FULL:
			k->key_start = k->nheld;
			if (++k->matched == k->n) {
				k->nheld = k->matched = k->key_start = 0;
				return true;
			}
			break;
		case MATCH_NO:
			/* What was kept is not the sequence; this byte may begin a new one. */
			if (!fresh) {
				k->nheld--;
				i--;
			}
			keys_flush(k, out);
			break;
		}
	}
	/* An ESC alone is a key that people press: only what follows it at once counts. */
	if (k->nheld && k->held[k->key_start] == '\033' && k->nheld - k->key_start == 1)
		keys_flush(k, out);
	return false;
}
