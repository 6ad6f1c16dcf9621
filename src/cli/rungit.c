/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rungit: what the git repositories of the workspaces add to a spec, and what is said about them.
 */
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

/* Shown already, by a workspace or a volume that it lies in? */
static bool is_visible(const struct spec *s, const char *path)
{
	for (size_t i = 0; i < s->nworkspaces; i++) {
		if (fs_path_within(path, s->workspaces[i].path))
			return true;
	}
	for (size_t i = 0; i < s->nvolumes; i++) {
		if (fs_path_within(path, s->volumes[i].target))
			return true;
	}
	return false;
}

/* Shown already, by a workspace or by a volume of just that place? */
static bool is_taken(const struct spec *s, const struct spec_workspace *w, const char *path)
{
	auto_free char *dotgit = fs_join(w->path, ".git");

	for (size_t i = 0; i < s->nworkspaces; i++) {
		if (fs_path_within(path, s->workspaces[i].path) && strcmp(path, dotgit) != 0)
			return true;
	}
	for (size_t i = 0; i < s->nvolumes; i++) {
		if (strcmp(path, s->volumes[i].target) == 0)
			return true;
	}
	return false;
}

/* What of git will be missing inside. Bytes of the repository are not repeated, but for a path that
 * the user shall give. */
static void note_git(const struct spec *s, const struct spec_workspace *w, const struct spec_git *g,
		     struct strv *notes)
{
	auto_free char *where = text_escaped(w->path);

	if (g->refused) {
		auto_free char *missing = g->missing ? text_escaped(g->missing) : NULL;

		strv_addf(notes, "git will not work in %s: its .git %s%s%s", where, g->refused,
			  missing ? ": " : "", missing ? missing : "");
	}
	for (size_t i = 0; i < g->alternates.n; i++) {
		const char *path = g->alternates.v[i];
		auto_free char *shown = text_escaped(path);

		if (!is_visible(s, path))
			strv_addf(notes,
				  "git in %s borrows objects from outside of the sandbox; to show "
				  "them, run with --recreate -v %s:%s:ro",
				  where, shown, shown);
	}
}

int run_git_volumes(struct cli *c, struct run_request *q, struct spec *s, struct err *e)
{
	struct spec_paths paths = run_spec_paths(c);

	strv_free(&q->git_notes);
	for (size_t i = 0; i < q->nworkspaces; i++) {
		const struct spec_workspace *w = &q->workspaces[i];
		struct spec_git git = { 0 };
		int r = spec_git_look(w, &paths, !c->v.dry_run, &git, e);

		if (r < 0)
			return r;
		for (size_t k = 0; k < git.nvolumes; k++) {
			if (is_taken(s, w, git.volumes[k].target))
				continue;
			s->volumes = xrealloc(s->volumes, s->nvolumes + 1, sizeof(*s->volumes));
			s->volumes[s->nvolumes++] = git.volumes[k];
			git.volumes[k] = (struct spec_volume){ 0 };
		}
		note_git(s, w, &git, &q->git_notes);
		spec_git_clear(&git);
	}
	return 0;
}
