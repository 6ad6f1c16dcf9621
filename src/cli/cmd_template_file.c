/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_template_file: templates that travel by file: save and load.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

/* Beside FILE under another name until it is complete. */
static int save_to(const struct image_store *s, const struct image_record *rec, const char *file,
		   struct err *e)
{
	auto_free char *shown = text_escaped(file);
	auto_free char *part = xasprintf("%s.part", file);
	auto_close int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
	int r;

	if (fd < 0)
		return err_sys(e, "template save: %s", shown);
	r = image_save(s, rec, fd, e);
	if (r == 0 && rename(part, file) < 0)
		r = err_sys(e, "template save: %s", shown);
	if (r < 0)
		(void)unlink(part);
	return r;
}

int template_save(struct cli *c, struct err *e)
{
	const char *file = c->v.output;
	auto_image_store s = { .fd = -1 };
	auto_image_record rec = { 0 };
	auto_close int lock = -1;
	int r;

	if (!file)
		return err_set(e, ERR_USAGE, -EINVAL, "template save: -o FILE is missing");
	r = image_store_open(c->engine.paths.data, &s, e);
	if (r == 0)
		r = image_store_lock(&s, IMAGE_LOCK_CONTENT, false, true, &lock, e);
	if (r == 0)
		r = template_find(&s, c->operands.v.v[1], &rec, e);
	if (r < 0)
		return r;
	if (strcmp(file, "-") != 0)
		return save_to(&s, &rec, file, e);
	if (isatty(STDOUT_FILENO))
		return err_set(e, ERR_USAGE, -EINVAL,
			       "template save: standard output is a terminal");
	return image_save(&s, &rec, STDOUT_FILENO, e);
}

int template_load(struct cli *c, struct err *e)
{
	const char *name = c->operands.v.n > 1 ? c->operands.v.v[1] : NULL;
	auto_free char *reference = NULL;
	auto_buf out = BUF_INIT;
	int r;

	if (!c->v.input)
		return err_set(e, ERR_USAGE, -EINVAL, "template load: -i FILE is missing");
	r = engine_template_load(&c->engine, c->v.input, name, &reference, e);
	if (r < 0)
		return r;
	text_escape(&out, reference, strlen(reference), SIZE_MAX);
	buf_putc(&out, '\n');
	return term_out(&out, e);
}
