/* SPDX-License-Identifier: Apache-2.0 */
/*
 * presets: named rule sets.
 *
 * locked    nothing of its own: the kit's hosts and the user's rules.
 * balanced  what developing software needs: the interfaces of models, package registries, Linux
 *           distributions, code hosts, container registries.
 * open      every public name, every port.
 * audit     the rules of balanced; what they do not allow passes all the same if open would let it,
 *           and is marked.
 *
 * A pattern **.NAME does not match NAME itself, so that both are written where both are used.
 * Domains under which anybody can publish pages or buckets are left out of balanced where the
 * service works without them: they would make it easy to carry data away.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "policy/policy_internal.h"

static const char *const preset_names[] = {
	[POLICY_LOCKED] = "locked",
	[POLICY_BALANCED] = "balanced",
	[POLICY_OPEN] = "open",
	[POLICY_AUDIT] = "audit",
};
_Static_assert(ARRAY_SIZE(preset_names) == POLICY_PRESET_MAX, "a name for every preset");

static const char *const open_rules[] = { "**:*" };

static const char *const balanced_rules[] = {
	/* model interfaces and the sign-in and download hosts of agents */
	"**.anthropic.com",
	"claude.ai",
	"**.claude.ai",
	"claude.com",
	"**.claude.com",
	"bridge.claudeusercontent.com",
	"openai.com",
	"**.openai.com",
	"chatgpt.com",
	"**.chatgpt.com",
	"**.oaiusercontent.com",
	"accounts.google.com",
	"generativelanguage.googleapis.com",
	"aiplatform.googleapis.com",
	"*.aiplatform.googleapis.com",
	"cloudcode-pa.googleapis.com",
	"oauth2.googleapis.com",
	"vertexai.googleapis.com",
	"**.githubcopilot.com",
	"**.cursor.sh",
	"cursor.com",
	"**.cursor.com",
	"**.devin.ai",
	"windsurf.com",
	"**.windsurf.com",
	"**.codeium.com",
	"**.factory.ai",
	"api.workos.com",
	"api.groq.com",
	"api.mistral.ai",
	"api.deepseek.com",
	"api.studio.nebius.com",
	"api.tokenfactory.nebius.com",
	"openrouter.ai",
	"**.openrouter.ai",
	"api.x.ai",
	"api.cohere.com",
	"api.together.xyz",
	"api.fireworks.ai",
	"api.perplexity.ai",
	"opencode.ai",
	"**.opencode.ai",
	"models.dev",
	"huggingface.co",
	"**.huggingface.co",
	"**.hf.co",
	"api.cerebras.ai",
	"api.moonshot.ai",
	"api.z.ai",
	"dashscope.aliyuncs.com",
	"dashscope-intl.aliyuncs.com",
	"ollama.com",
	"**.ollama.com",
	"bedrock-runtime.us-east-1.amazonaws.com",
	"bedrock-runtime.us-east-2.amazonaws.com",
	"bedrock-runtime.us-west-2.amazonaws.com",
	"bedrock-runtime.eu-central-1.amazonaws.com",
	"bedrock-runtime.eu-west-1.amazonaws.com",
	"bedrock-runtime.ap-northeast-1.amazonaws.com",
	/* JavaScript */
	"**.npmjs.org",
	"**.npmjs.com",
	"yarnpkg.com",
	"**.yarnpkg.com",
	"nodejs.org",
	"**.nodejs.org",
	"jsr.io",
	"**.jsr.io",
	"deno.land",
	"**.deno.land",
	"bun.sh",
	"**.bun.sh",
	"bun.com",
	"**.bun.com",
	"**.pnpm.io",
	"cdn.jsdelivr.net",
	"unpkg.com",
	"esm.sh",
	"cdnjs.cloudflare.com",
	"**.cypress.io",
	"**.electronjs.org",
	"binaries.prisma.sh",
	/* Python */
	"pypi.org",
	"**.pypi.org",
	"pythonhosted.org",
	"**.pythonhosted.org",
	"python.org",
	"**.python.org",
	"astral.sh",
	"**.astral.sh",
	"anaconda.org",
	"**.anaconda.org",
	"**.anaconda.com",
	"**.pypa.io",
	"**.pytorch.org",
	"**.piwheels.org",
	/* Rust */
	"crates.io",
	"**.crates.io",
	"rustup.rs",
	"**.rustup.rs",
	"rust-lang.org",
	"**.rust-lang.org",
	"docs.rs",
	/* Go */
	"golang.org",
	"**.golang.org",
	"go.dev",
	"**.go.dev",
	"gopkg.in",
	"dl.google.com",
	/* Java, Kotlin, Scala */
	"**.maven.org",
	"**.apache.org",
	"**.sonatype.org",
	"**.sonatype.com",
	"gradle.org",
	"**.gradle.org",
	"maven.google.com",
	"**.spring.io",
	"**.scala-sbt.org",
	"**.jetbrains.com",
	"api.adoptium.net",
	"**.adoptium.net",
	"**.sdkman.io",
	"jitpack.io",
	"**.jboss.org",
	"**.confluent.io",
	"kotlinlang.org",
	"**.kotlinlang.org",
	"download.oracle.com",
	"download.java.net",
	/* Ruby */
	"rubygems.org",
	"**.rubygems.org",
	"ruby-lang.org",
	"**.ruby-lang.org",
	/* PHP */
	"packagist.org",
	"**.packagist.org",
	"packagist.com",
	"**.packagist.com",
	"getcomposer.org",
	"**.getcomposer.org",
	"php.net",
	"**.php.net",
	/* .NET */
	"nuget.org",
	"**.nuget.org",
	"dot.net",
	"**.dot.net",
	"builds.dotnet.microsoft.com",
	"dotnetcli.azureedge.net",
	"packages.microsoft.com",
	"aka.ms",
	/* C and C++ */
	"**.conan.io",
	"cmake.org",
	"**.cmake.org",
	"**.mesonbuild.com",
	/* Erlang and Elixir */
	"hex.pm",
	"**.hex.pm",
	"**.elixir-lang.org",
	/* Haskell */
	"haskell.org",
	"**.haskell.org",
	"**.stackage.org",
	/* Perl, R, Julia, Lua, OCaml */
	"cpan.org",
	"**.cpan.org",
	"metacpan.org",
	"**.metacpan.org",
	"r-project.org",
	"**.r-project.org",
	"**.rstudio.com",
	"**.posit.co",
	"julialang.org",
	"**.julialang.org",
	"luarocks.org",
	"**.luarocks.org",
	"**.ocaml.org",
	/* Dart, Swift, Zig */
	"pub.dev",
	"**.pub.dev",
	"**.dartlang.org",
	"swift.org",
	"**.swift.org",
	"cocoapods.org",
	"**.cocoapods.org",
	"ziglang.org",
	"**.ziglang.org",
	/* Linux distributions and tools that are installed from their own hosts */
	"debian.org",
	"**.debian.org",
	"ubuntu.com",
	"**.ubuntu.com",
	"launchpad.net",
	"**.launchpad.net",
	"**.snapcraft.io",
	"**.launchpadcontent.net",
	"fedoraproject.org",
	"**.fedoraproject.org",
	"**.centos.org",
	"**.almalinux.org",
	"**.rockylinux.org",
	"**.redhat.com",
	"alpinelinux.org",
	"**.alpinelinux.org",
	"archlinux.org",
	"**.archlinux.org",
	"**.opensuse.org",
	"**.suse.com",
	"**.kali.org",
	"**.voidlinux.org",
	"**.gentoo.org",
	"nixos.org",
	"**.nixos.org",
	"**.kernel.org",
	"**.gnu.org",
	"**.llvm.org",
	"**.postgresql.org",
	"repo.mongodb.org",
	"repo.mysql.com",
	"packages.redis.io",
	"packages.cloud.google.com",
	"apt.kitware.com",
	"brew.sh",
	"**.brew.sh",
	"download.docker.com",
	"cli.github.com",
	"**.nodesource.com",
	"**.hashicorp.com",
	"playwright.dev",
	"cdn.playwright.dev",
	"playwright.download.prss.microsoft.com",
	/* code hosts, also over ssh */
	"github.com",
	"github.com:22",
	"**.github.com",
	"**.githubusercontent.com",
	"**.githubassets.com",
	"ghcr.io",
	"git.io",
	"gitlab.com",
	"gitlab.com:22",
	"**.gitlab.com",
	"bitbucket.org",
	"bitbucket.org:22",
	"**.bitbucket.org",
	"codeberg.org",
	"codeberg.org:22",
	"**.codeberg.org",
	"sr.ht",
	"**.sr.ht",
	"git.sr.ht:22",
	"**.googlesource.com",
	"ssh.dev.azure.com:22",
	"dev.azure.com",
	"**.sourceforge.net",
	/* container registries */
	"docker.io",
	"**.docker.io",
	"docker.com",
	"**.docker.com",
	"docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
	"quay.io",
	"**.quay.io",
	"gcr.io",
	"**.gcr.io",
	"**.pkg.dev",
	"**.k8s.io",
	"mcr.microsoft.com",
	"**.mcr.microsoft.com",
	"**.ecr.aws",
};

static const struct {
	const char *const *rules;
	size_t n;
} presets[] = {
	[POLICY_LOCKED] = { NULL, 0 },
	[POLICY_BALANCED] = { balanced_rules, ARRAY_SIZE(balanced_rules) },
	[POLICY_OPEN] = { open_rules, ARRAY_SIZE(open_rules) },
	[POLICY_AUDIT] = { balanced_rules, ARRAY_SIZE(balanced_rules) },
};
_Static_assert(ARRAY_SIZE(presets) == POLICY_PRESET_MAX, "rules for every preset");

const char *policy_preset_name(enum policy_preset p)
{
	return (unsigned)p < POLICY_PRESET_MAX ? preset_names[p] : "?";
}

int policy_preset_parse(const char *s, enum policy_preset *ret)
{
	for (size_t i = 0; i < POLICY_PRESET_MAX; i++) {
		if (strcmp(s, preset_names[i]) == 0) {
			*ret = (enum policy_preset)i;
			return 0;
		}
	}
	return -EINVAL;
}

int policy_rules_add_preset(struct policy_rules *r, enum policy_preset p, struct err *e)
{
	char origin[RULE_ORIGIN_MAX];

	r->audit = p == POLICY_AUDIT;
	snprintf(origin, sizeof(origin), "preset %s",
		 policy_preset_name(r->audit ? POLICY_BALANCED : p));
	for (size_t i = 0; i < presets[p].n; i++) {
		int err = policy_rules_add(r, true, presets[p].rules[i], origin, e);

		if (err != 0)
			return err;
	}
	return 0;
}
