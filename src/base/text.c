/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text: strict parsing of small texts, and escaping of foreign ones.
 *
 * No function here looks at the locale, the time zone or the environment.  Dates are computed from
 * day numbers of the proleptic Gregorian calendar, because gmtime_r reads the time zone file.
 */
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/mem.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The digits at *s as a number of at most max; *s is left behind the last of them. */
static int take_u64(const char **s, uint64_t max, uint64_t *ret)
{
	const char *p = *s;
	uint64_t value = 0;

	if (!is_digit(*p) || (p[0] == '0' && is_digit(p[1])))
		return -EINVAL;
	for (; is_digit(*p); p++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	}
	if (value > max)
		return -ERANGE;
	*s = p;
	*ret = value;
	return 0;
}

int text_u64(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t value;
	int r;

	/* The form comes first: "99999999999999999999x" is no number at all. */
	if (s[0] == '\0' || s[strspn(s, "0123456789")] != '\0')
		return -EINVAL;
	r = take_u64(&s, max, &value);
	if (r < 0)
		return r;
	*ret = value;
	return 0;
}

int text_size(const char *s, uint64_t *ret)
{
	static const char units[] = "bkmgt";
	uint64_t value;
	unsigned shift = 0;
	int r = take_u64(&s, UINT64_MAX, &value);

	if (r < 0)
		return r;
	if (*s != '\0') {
		const char *unit = strchr(units, *s | 0x20);

		if (unit == NULL)
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units);
		s++;
		if (*s != '\0' && shift != 0 && strcasecmp(s, "b") != 0 && strcasecmp(s, "ib") != 0)
			return -EINVAL;
		if (*s != '\0' && shift == 0)
			return -EINVAL;
	}
	if (value > UINT64_MAX >> shift)
		return -ERANGE;
	*ret = value << shift;
	return 0;
}

int text_duration(const char *s, uint64_t *ret_seconds)
{
	static const struct {
		char name;
		unsigned seconds;
	} units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
	uint64_t total = 0;
	size_t next = 0; /* units go from large to small, each at most once */

	if (*s == '\0')
		return -EINVAL;
	while (*s != '\0') {
		uint64_t value;
		int r = take_u64(&s, UINT64_MAX, &value);

		if (r < 0)
			return r;
		while (next < ARRAY_SIZE(units) && units[next].name != *s)
			next++;
		if (next == ARRAY_SIZE(units))
			return -EINVAL;
		if (__builtin_mul_overflow(value, units[next].seconds, &value) ||
		    __builtin_add_overflow(total, value, &total))
			return -ERANGE;
		next++;
		s++;
	}
	*ret_seconds = total;
	return 0;
}

bool text_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool text_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s);
	size_t m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

size_t text_utf8_next(const char *s, size_t n, uint32_t *ret)
{
	/* Shortest value that each length may carry: anything below is an overlong form. */
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char first;
	size_t len;
	uint32_t c;

	if (n == 0)
		return 0;
	first = (unsigned char)s[0];
	if (first < 0x80) {
		*ret = first;
		return 1;
	}
	if (first < 0xc2 || first > 0xf4)
		return 0;
	len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	if (n < len)
		return 0;
	c = first & (0x7fU >> len);
	for (size_t i = 1; i < len; i++) {
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | ((unsigned char)s[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return len;
}

bool text_is_utf8(const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		uint32_t c;
		size_t len = text_utf8_next(s + i, n - i, &c);

		if (len == 0 || c == 0)
			return false;
		i += len;
	}
	return true;
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c) || c == '.' || c == '_' || c == '-';
}

int text_check_name(const char *what, const char *name, struct err *e)
{
	const char *why = NULL;

	if (name[0] == '\0')
		why = "it is empty";
	else if (strnlen(name, 64) > 63)
		why = "it is longer than 63 characters";
	else if (!is_name_char(name[0]) || strchr("._-", name[0]) != NULL)
		why = "it must begin with a lower-case letter or a digit";
	else if (strstr(name, "..") != NULL)
		why = "it may not contain \"..\"";
	for (const char *p = name; why == NULL && *p != '\0'; p++) {
		if (!is_name_char(*p))
			why = "only a-z, 0-9, '.', '_' and '-' are allowed";
	}
	if (why == NULL)
		return 0;

	auto_buf shown = BUF_INIT;

	text_escape(&shown, name, strlen(name), 80);
	return err_set(e, ERR_INPUT, EINVAL, "%s '%s': %s", what, buf_str(&shown), why);
}

/* Characters that change what a terminal shows without being seen. Sorted. */
static bool is_invisible(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{ 0x00ad, 0x00ad },   /* soft hyphen */
		{ 0x061c, 0x061c },   /* Arabic letter mark */
		{ 0x180e, 0x180e },   /* Mongolian vowel separator */
		{ 0x200b, 0x200f },   /* zero-width characters and direction marks */
		{ 0x2028, 0x202e },   /* line and paragraph separators, embeddings, overrides */
		{ 0x2060, 0x206f },   /* word joiner, isolates, deprecated format characters */
		{ 0xfeff, 0xfeff },   /* zero-width no-break space */
		{ 0xfff9, 0xfffb },   /* interlinear annotations */
		{ 0xe0000, 0xe007f }, /* tags */
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	}
	return false;
}

void text_escape(struct buf *out, const char *s, size_t n, size_t max)
{
	size_t i = 0;

	while (i < n && i < max) {
		uint32_t c = 0;
		size_t len = text_utf8_next(s + i, n - i, &c);

		if (len > max - i)
			break;
		if (len == 0 || c < 0x20 || c == 0x7f) {
			buf_printf(out, "\\x%02x", (unsigned char)s[i]);
			len = 1;
		} else if ((c >= 0x80 && c < 0xa0) || is_invisible(c)) {
			buf_printf(out, "\\u{%04x}", c);
		} else if (c == '\\') {
			buf_puts(out, "\\\\");
		} else {
			buf_add(out, s + i, len);
		}
		i += len;
	}
	if (i < n)
		buf_puts(out, "...");
}

char *text_escaped(const char *s)
{
	auto_buf out = BUF_INIT;

	text_escape(&out, s, strlen(s), 4096);
	return buf_steal(&out);
}

enum { NEAREST_MAX = 64 };

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Edit distance that counts a swap of neighbours as one; both below NEAREST_MAX. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t rows[3][NEAREST_MAX + 1];

	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t *row = rows[i % 3];
		const size_t *above = rows[(i + 2) % 3];
		const size_t *two_above = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			row[j] = min3(above[j] + 1, row[j - 1] + 1,
				      above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    two_above[j - 2] + 1 < row[j])
				row[j] = two_above[j - 2] + 1;
		}
	}
	return rows[na % 3][nb];
}

const char *text_nearest(const char *word, const char *const *candidates, size_t n)
{
	size_t len = strnlen(word, NEAREST_MAX);
	size_t limit = len / 3 > 1 ? len / 3 : 1;
	const char *best = NULL;

	if (len == 0 || len == NEAREST_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t other = strnlen(candidates[i], NEAREST_MAX);
		size_t d;

		if (other == NEAREST_MAX)
			continue;
		d = distance(word, len, candidates[i], other);
		/* A match must share something: "x" is not a misspelt "y". */
		if (d > limit || d >= len)
			continue;
		if (best == NULL || d < limit)
			best = candidates[i];
		if (d < limit)
			limit = d;
	}
	return best;
}

enum { DAY = 86400, YEAR_MAX = 9999 };

/*
 * Days since 1970-01-01 of a date, by counting years from 1 March, so that the leap day is the last
 * day of its year and months have a regular length.
 */
static int64_t days_from_date(int64_t y, int64_t m, int64_t d)
{
	int64_t era, year_of_era, day_of_year;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	year_of_era = y - era * 400;
	day_of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - 719468;
}

void text_rfc3339(int64_t t, char out[static 32])
{
	const int64_t first = days_from_date(0, 1, 1) * DAY;
	const int64_t last = days_from_date(YEAR_MAX + 1, 1, 1) * DAY - 1;
	int64_t days, y, m, second;

	t = t < first ? first : t > last ? last : t;
	days = t >= 0 ? t / DAY : -((DAY - 1 - t) / DAY);
	second = t - days * DAY;
	/* A guess that is never late, and at most one year early. */
	y = 1970 + days * 400 / 146097 - 1;
	while (days_from_date(y + 1, 1, 1) <= days)
		y++;
	for (m = 1; m < 12 && days_from_date(y, m + 1, 1) <= days; m++)
		;
	snprintf(out, 32, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)y, (int)m,
		 (int)(days - days_from_date(y, m, 1) + 1), (int)(second / 3600),
		 (int)(second / 60 % 60), (int)(second % 60));
}

int text_parse_rfc3339(const char *s, int64_t *ret)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
	static const unsigned char at[] = { 0, 5, 8, 11, 14, 17 };
	int v[ARRAY_SIZE(at)];
	int64_t next;

	for (size_t i = 0; i < sizeof(shape); i++) {
		if (shape[i] == 'd' ? !is_digit(s[i]) : s[i] != shape[i])
			return -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		v[i] = 0;
		for (size_t k = at[i]; is_digit(s[k]); k++)
			v[i] = 10 * v[i] + (s[k] - '0');
	}
	if (v[1] < 1 || v[1] > 12 || v[2] < 1 || v[3] > 23 || v[4] > 59 || v[5] > 59)
		return -EINVAL;
	next = v[1] < 12 ? days_from_date(v[0], v[1] + 1, 1) : days_from_date(v[0] + 1, 1, 1);
	if (days_from_date(v[0], v[1], v[2]) >= next)
		return -EINVAL;
	*ret = days_from_date(v[0], v[1], v[2]) * DAY + v[3] * 3600 + v[4] * 60 + v[5];
	return 0;
}

void text_ago(int64_t then, int64_t now, char out[static 32])
{
	/* Below `until` seconds the age is counted in `unit` seconds; a fixed text has no unit. */
	static const struct {
		int64_t until;
		int64_t unit;
		const char *text;
	} steps[] = {
		{ 1, 0, "Less than a second" },
		{ 2, 0, "1 second" },
		{ 60, 1, "seconds" },
		{ 120, 0, "About a minute" },
		{ 3600, 60, "minutes" },
		{ 7200, 0, "About an hour" },
		{ 2 * DAY, 3600, "hours" },
		{ 14 * DAY, DAY, "days" },
		{ 60 * DAY, 7 * DAY, "weeks" },
		{ 2 * 365 * DAY, 30 * DAY, "months" },
		{ INT64_MAX, 365 * DAY, "years" },
	};
	int64_t age;
	size_t i = 0;

	if (then >= now)
		age = 0;
	else if (__builtin_sub_overflow(now, then, &age))
		age = INT64_MAX;
	while (i + 1 < ARRAY_SIZE(steps) && age >= steps[i].until)
		i++;
	if (steps[i].unit == 0)
		snprintf(out, 32, "%s ago", steps[i].text);
	else
		snprintf(out, 32, "%lld %s ago", (long long)(age / steps[i].unit), steps[i].text);
}

void text_random_hex(char *out, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	while (n > 0) {
		unsigned char raw[64];
		size_t want = n < sizeof(raw) ? n : sizeof(raw);
		ssize_t got = getrandom(raw, want, 0);

		if (got < 0 && errno == EINTR)
			continue;
		/* A predictable name or key would be worse than no process. */
		if (got < 0)
			abort();
		for (ssize_t i = 0; i < got; i++) {
			*out++ = digits[raw[i] >> 4];
			*out++ = digits[raw[i] & 15];
		}
		n -= (size_t)got;
	}
	*out = '\0';
}

uint64_t text_fnv1a(const void *p, size_t n)
{
	const unsigned char *bytes = p;
	uint64_t hash = 0xcbf29ce484222325U;

	/* Multiplication modulo 2^64 is the definition; unsigned arithmetic wraps. */
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3U;
	return hash;
}

void text_shell_word(struct buf *out, const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_./:@%+,=-";

	if (s[0] != '\0' && strspn(s, plain) == strlen(s)) {
		buf_puts(out, s);
		return;
	}
	buf_putc(out, '\'');
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			buf_puts(out, "'\\''");
		else
			buf_putc(out, *s);
	}
	buf_putc(out, '\'');
}
