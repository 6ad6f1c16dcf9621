#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tree speaks of the program, not of how it came about: no tracker numbers, no paths of a
# developer's machine; and it names package registries by pattern, not by host.
set -uo pipefail
# shellcheck source=tests/lint/lib.bash
. "$(dirname "$0")/lib.bash"

development='\bissues? #?[0-9]+\b|\b(later|next|other|another|network|this) issue\b|\bissues show\b|TEAM\.md'
development+='|(^|[^[:alnum:]_.-])/work/(main|shared)\b|/tmp/(team|build-)|\b(previous|earlier|this) (coding )?session of work\b'
development+='|\bsub-?agents? (wrote|writes)\b|\b(TODO|FIXME|XXX)\b'
# Matched where no pattern prefix (*. or **.) stands before.
hosts='registry\.npmjs\.(org|com)|registry\.yarnpkg\.com|files\.pythonhosted\.org|(static|index)\.crates\.io'
hosts+='|(proxy|sum)\.golang\.org|registry-1\.docker\.io|auth\.docker\.io|production\.cloudflare\.docker\.com'
hosts+='|(deb|security|snapshot)\.debian\.org|(archive|security)\.ubuntu\.com|repo1\.maven\.org|api\.nuget\.org'

bad=0
mapfile -t files < <(tree_files '*' | grep -v '^tests/lint/words\.sh$')
[ "${#files[@]}" -gt 0 ] || exit 0
if grep -nHIE "$development" "${files[@]}"; then
	echo "these lines speak of how the program is developed"
	bad=1
fi
if grep -nHIE "(^|[^*.[:alnum:]-])($hosts)" "${files[@]}"; then
	echo "these lines name a registry's host; write a pattern such as **.npmjs.org"
	bad=1
fi
exit "$bad"
