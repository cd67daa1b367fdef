# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_kiln_global_optspecs
    string join \n color= q/quiet h/help V/version
end

function __fish_kiln_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_kiln_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_kiln_using_subcommand
    set -l cmd (__fish_kiln_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c kiln -n "__fish_kiln_needs_command" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_needs_command" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_needs_command" -s V -l version -d 'Print version'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "init" -d 'Write a commented sample of cluster.toml'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "inspect" -d 'Read a medium back: boot records, label, menus, payload, manifest'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "check" -d 'Check cluster.toml: all that is wrong with it, at once'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "plan" -d 'Show what the nodes of a profile get: files, units, packages, certificates'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "schema" -d 'Print the JSON Schema of cluster.toml, for editors'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "fetch" -d 'Bring what nodes run, and pin it in kiln.lock'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "bundle" -d 'Carry what a build needs to where there is no network'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "image" -d 'Make container images for the nodes'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "pki" -d 'Make, renew and show the certificates in pki/'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "key" -d 'Make the keys that media are signed with'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "node" -d 'Run on a machine: check the medium, prepare and place what the node gets'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "build" -d 'Build the install medium of one role'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "serve" -d 'Give a PXE tree out by DHCP, TFTP and HTTP, and show how far its machines are'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "boot" -d 'Boot a medium in QEMU and judge it'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "verify" -d 'Verify the signature of a medium, and that it is whole'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "watch" -d 'Show how the running cluster is: nodes, workloads, requests, what ends'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "docs" -d 'Print what is generated from the program itself: man pages, completions, schema'
complete -c kiln -n "__fish_kiln_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kiln -n "__fish_kiln_using_subcommand init" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand init" -l force -d 'Replace a file that is there'
complete -c kiln -n "__fish_kiln_using_subcommand init" -l eject -d 'Write profiles/, overlays/ and kickstart/ instead: beside a cluster.toml they override kiln\'s own, file by file'
complete -c kiln -n "__fish_kiln_using_subcommand init" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand inspect" -l node -d 'The node that the user-data is to name' -r
complete -c kiln -n "__fish_kiln_using_subcommand inspect" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand inspect" -l check -d 'Read it all: verify the implanted MD5 and every payload file\'s digest'
complete -c kiln -n "__fish_kiln_using_subcommand inspect" -l json -d 'Print JSON'
complete -c kiln -n "__fish_kiln_using_subcommand inspect" -l sbom -d 'Print the bill of materials of a medium that kiln made, as SPDX 2.3 in JSON'
complete -c kiln -n "__fish_kiln_using_subcommand inspect" -l user-data -d 'Print the user-data of a disk image, to be given to a machine by a platform that has user-data of its own'
complete -c kiln -n "__fish_kiln_using_subcommand inspect" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand check" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand check" -l json -d 'Print the findings as JSON instead'
complete -c kiln -n "__fish_kiln_using_subcommand check" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand plan" -s C -l cluster -d 'The cluster file' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand plan" -l profile -d 'Show this profile only' -r -f -a "master\t'Control plane, and etcd unless said otherwise'
worker\t'Runs pods'
lb\t'Load balancer in front of the API'"
complete -c kiln -n "__fish_kiln_using_subcommand plan" -l node -d 'Show this node only' -r
complete -c kiln -n "__fish_kiln_using_subcommand plan" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand plan" -l json -d 'Print JSON: a list with one plan a profile'
complete -c kiln -n "__fish_kiln_using_subcommand plan" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand schema" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand schema" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand schema" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand fetch" -s C -l cluster -d 'The cluster file' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand fetch" -l update -d 'Replace what kiln.lock pins: all, or components and images by name' -r
complete -c kiln -n "__fish_kiln_using_subcommand fetch" -l mirror -d 'Ask here in place of publishers, before `mirror` in [components]' -r
complete -c kiln -n "__fish_kiln_using_subcommand fetch" -l jobs -d 'Downloads that run at once' -r
complete -c kiln -n "__fish_kiln_using_subcommand fetch" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand fetch" -l locked -d 'Fail unless kiln.lock is there and fits; change nothing in it'
complete -c kiln -n "__fish_kiln_using_subcommand fetch" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand fetch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and not __fish_seen_subcommand_from create add help" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and not __fish_seen_subcommand_from create add help" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and not __fish_seen_subcommand_from create add help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and not __fish_seen_subcommand_from create add help" -f -a "create" -d 'Pack kiln, kiln.lock and all that it pins into one file'
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and not __fish_seen_subcommand_from create add help" -f -a "add" -d 'Take a bundle into the cache, and its kiln.lock into the project'
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and not __fish_seen_subcommand_from create add help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from create" -s C -l cluster -d 'The cluster file' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from create" -s o -l output -d 'File to write; out/CLUSTER.kilnbundle beside the cluster file if not given' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from create" -l split -d 'Write parts FILE.001, FILE.002, … of this size at most: 4G means as large as FAT takes' -r
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from create" -l kiln -d 'Statically linked kiln to pack; this program if not given' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from create" -l sign -d 'Sign each file with this secret key; FILE.minisig is its signature' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from create" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from add" -s C -l cluster -d 'The cluster file' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from add" -l key -d 'Take nothing in that this public key did not sign; signatures lie beside the files' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from add" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from add" -l update -d 'Replace a kiln.lock that pins something else'
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from help" -f -a "create" -d 'Pack kiln, kiln.lock and all that it pins into one file'
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from help" -f -a "add" -d 'Take a bundle into the cache, and its kiln.lock into the project'
complete -c kiln -n "__fish_kiln_using_subcommand bundle; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kiln -n "__fish_kiln_using_subcommand image; and not __fish_seen_subcommand_from create help" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand image; and not __fish_seen_subcommand_from create help" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand image; and not __fish_seen_subcommand_from create help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand image; and not __fish_seen_subcommand_from create help" -f -a "create" -d 'Make an image of one layer for linux/amd64 from files'
complete -c kiln -n "__fish_kiln_using_subcommand image; and not __fish_seen_subcommand_from create help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -l name -d 'Name of the image with its tag, as pods will say it' -r
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -s o -l output -d 'Archive to write' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -l file -d 'A file and where it goes: SOURCE=/PATH or SOURCE=/PATH:MODE' -r
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -l tree -d 'A folder whose content becomes the image\'s root' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -l dir -d 'A folder to make, mode 0755, or 1777 for /tmp' -r
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -l entrypoint -d 'Program and first arguments; repeat for each word' -r
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -l cmd -d 'Further arguments, which a pod\'s `args` replace; repeat for each word' -r
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -l env -d 'Variable of the environment' -r
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -l label -d 'Label of the image' -r
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -l user -d 'User and group by number: 65534:65534; root if not given' -r
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -l workdir -d 'Folder it starts in' -r
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -l force -d 'Replace an output that is there'
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make an image of one layer for linux/amd64 from files'
complete -c kiln -n "__fish_kiln_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and not __fish_seen_subcommand_from show init renew help" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand pki; and not __fish_seen_subcommand_from show init renew help" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and not __fish_seen_subcommand_from show init renew help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and not __fish_seen_subcommand_from show init renew help" -f -a "show" -d 'Show names, uses and lifetimes, and until when media built now are good'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and not __fish_seen_subcommand_from show init renew help" -f -a "init" -d 'Make what is missing; a build does so by itself'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and not __fish_seen_subcommand_from show init renew help" -f -a "renew" -d 'Issue all leaf certificates and the bootstrap token anew; authorities stay'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and not __fish_seen_subcommand_from show init renew help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from show" -s C -l cluster -d 'The cluster file' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from show" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from show" -l json -d 'Print JSON'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from init" -s C -l cluster -d 'The cluster file' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from init" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from init" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from renew" -s C -l cluster -d 'The cluster file' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from renew" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from renew" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from renew" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show names, uses and lifetimes, and until when media built now are good'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from help" -f -a "init" -d 'Make what is missing; a build does so by itself'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from help" -f -a "renew" -d 'Issue all leaf certificates and the bootstrap token anew; authorities stay'
complete -c kiln -n "__fish_kiln_using_subcommand pki; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kiln -n "__fish_kiln_using_subcommand key; and not __fish_seen_subcommand_from create help" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand key; and not __fish_seen_subcommand_from create help" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand key; and not __fish_seen_subcommand_from create help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand key; and not __fish_seen_subcommand_from create help" -f -a "create" -d 'Make a secret key, and beside it the public key with the ending .pub'
complete -c kiln -n "__fish_kiln_using_subcommand key; and not __fish_seen_subcommand_from create help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kiln -n "__fish_kiln_using_subcommand key; and __fish_seen_subcommand_from create" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand key; and __fish_seen_subcommand_from create" -l no-password -d 'Leave the secret key unencrypted: whoever reads the file can sign'
complete -c kiln -n "__fish_kiln_using_subcommand key; and __fish_seen_subcommand_from create" -l json -d 'Print the result as JSON on standard output'
complete -c kiln -n "__fish_kiln_using_subcommand key; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand key; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make a secret key, and beside it the public key with the ending .pub'
complete -c kiln -n "__fish_kiln_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "prepare" -d 'Find out which node this machine is and which disk it may use; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "boot-disk" -d 'Start the system that this medium has installed already; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "bind" -d 'Mark the disks of the node as parted; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "place" -d 'Lay down what this node gets in the new system; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "probe-disk" -d 'Measure how long the new disk of an etcd member takes to make a write last; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "finish" -d 'Mark the node as complete on its disks; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "release" -d 'Let the boot loader start the finished system; run in it by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "unfinished" -d 'Say that the installation was cut short, or make its last step; a unit of machines that were not finished'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "adopt" -d 'Make a machine that started from a disk image the node that it is; a unit of disk images'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "verify" -d 'Check every file of a mounted medium against its manifest'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "images" -d 'Load the container images of the install medium; run at boot'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "clock" -d 'Look after the clock, and say how it is; a unit of every node'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "addons" -d 'Apply what the cluster needs: bindings, tokens, addons, labels; a unit of masters'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "approve" -d 'Judge kubelets\' certificate requests; a unit of masters'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "routes" -d 'Keep the CNI configuration and the routes of bridge mode; a unit of nodes that run pods'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "agent" -d 'Answer the other nodes and tell them how this one is; a unit of every node'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "mend" -d 'Remove what a power cut left half written of the kubelet\'s own files; run before it'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "knock" -d 'Wait until an API server lets a client read; run before the kubelet, kube-proxy and the scheduler'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "form" -d 'Let etcd start once it may: found the cluster, join it again, or wait; run before etcd'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "formed" -d 'Remember that etcd has had a quorum; run after etcd is ready'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "status" -d 'Show all nodes of the cluster: stage, what is waited for and since when, warnings'
complete -c kiln -n "__fish_kiln_using_subcommand node; and not __fish_seen_subcommand_from prepare boot-disk bind place probe-disk finish release unfinished adopt verify images clock addons approve routes agent mend knock form formed status help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from prepare" -l media -d 'Where the medium is mounted' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from prepare" -l out -d 'Folder for the answers: node, network.ks, claim.json, disk.ks; `installed` if there is nothing to do' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from prepare" -l node -d 'The node to be; otherwise kiln.node= of the kernel\'s command line' -r
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from prepare" -l patience -d 'How long somebody at the console has to answer' -r
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from prepare" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from prepare" -l skip-verify -d 'Do not check the medium\'s files again'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from prepare" -l skip-preflight -d 'Do not look whether the machine is fit: raises no link, asks nobody, sets no clock'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from prepare" -l dry-run -d 'Only find out: ask nobody, and mark no disk as taken'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from prepare" -l json -d 'Print the outcome as one line of JSON'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from prepare" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from prepare" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from boot-disk" -l media -d 'Where the medium is mounted' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from boot-disk" -l prepared -d 'The answers of `kiln node prepare`' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from boot-disk" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from boot-disk" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from boot-disk" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from bind" -l prepared -d 'The answers of `kiln node prepare`' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from bind" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from bind" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from bind" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from place" -l media -d 'Where the medium is mounted' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from place" -l from -d 'Address of the PXE tree that all but kiln and the manifest come from' -r
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from place" -l root -d 'Root of the new system' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from place" -l prepared -d 'The answers of `kiln node prepare`' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from place" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from place" -l json -d 'Print the outcome as one line of JSON'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from place" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from place" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from probe-disk" -l media -d 'Where the medium is mounted' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from probe-disk" -l dir -d 'Folder on the file system to measure; a file is made in it and removed' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from probe-disk" -l root -d 'Root of the new system: its etcd\'s folder is measured, if the node will have one' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from probe-disk" -l prepared -d 'The answers of `kiln node prepare`' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from probe-disk" -l seconds -d 'How long to measure' -r
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from probe-disk" -l out -d 'File to write the numbers to' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from probe-disk" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from probe-disk" -l json -d 'Print the outcome as one line of JSON'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from probe-disk" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from probe-disk" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from finish" -l prepared -d 'The answers of `kiln node prepare`' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from finish" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from finish" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from finish" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from release" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from release" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from release" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from unfinished" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from unfinished" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from unfinished" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from adopt" -l label -d 'Label of the medium: what `kiln build` said' -r
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from adopt" -l node -d 'The node that this machine is, unless it is known as another' -r
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from adopt" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from adopt" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from adopt" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from verify" -l media -d 'Where the medium is mounted' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from verify" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from verify" -l json -d 'Print the outcome as one line of JSON'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from verify" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from images" -l root -d 'Root of the node\'s files' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from images" -l socket -d 'Socket of containerd, where it is not the usual one' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from images" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from images" -l clear -d 'Before the runtime starts: throw away what a load that never ended left in its storage'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from images" -l once -d 'Try once and tell whether it succeeded'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from images" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from images" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from clock" -l root -d 'Root of the node\'s files' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from clock" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from clock" -l floor -d 'Set a clock forward that is before the node\'s certificates were made, and end'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from clock" -l agree -d 'On a master without a time server: agree on a time with the others'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from clock" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from clock" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from addons" -l root -d 'Root of the node\'s files' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from addons" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from addons" -l once -d 'Do it once and tell whether it succeeded'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from addons" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from addons" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from approve" -l root -d 'Root of the node\'s files' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from approve" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from approve" -l once -d 'Do it once and tell whether it succeeded'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from approve" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from approve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from routes" -l root -d 'Root of the node\'s files' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from routes" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from routes" -l once -d 'Do it once and tell whether it succeeded'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from routes" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from routes" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from agent" -l root -d 'Root of the node\'s files' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from agent" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from agent" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from agent" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from mend" -l root -d 'Root of the node\'s files' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from mend" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from mend" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from mend" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from knock" -l root -d 'Root of the node\'s files' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from knock" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from knock" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from knock" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from form" -l root -d 'Root of the node\'s files' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from form" -l grace -d 'How long a majority waits for the rest, where it may form without them' -r
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from form" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from form" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from form" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from formed" -l root -d 'Root of the node\'s files' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from formed" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from formed" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from formed" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from status" -l root -d 'Root of the node\'s files' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from status" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from status" -l json -d 'Print everything that is known, as JSON'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from status" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "prepare" -d 'Find out which node this machine is and which disk it may use; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "boot-disk" -d 'Start the system that this medium has installed already; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "bind" -d 'Mark the disks of the node as parted; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "place" -d 'Lay down what this node gets in the new system; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "probe-disk" -d 'Measure how long the new disk of an etcd member takes to make a write last; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "finish" -d 'Mark the node as complete on its disks; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "release" -d 'Let the boot loader start the finished system; run in it by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "unfinished" -d 'Say that the installation was cut short, or make its last step; a unit of machines that were not finished'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "adopt" -d 'Make a machine that started from a disk image the node that it is; a unit of disk images'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Check every file of a mounted medium against its manifest'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "images" -d 'Load the container images of the install medium; run at boot'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "clock" -d 'Look after the clock, and say how it is; a unit of every node'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "addons" -d 'Apply what the cluster needs: bindings, tokens, addons, labels; a unit of masters'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "approve" -d 'Judge kubelets\' certificate requests; a unit of masters'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "routes" -d 'Keep the CNI configuration and the routes of bridge mode; a unit of nodes that run pods'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "agent" -d 'Answer the other nodes and tell them how this one is; a unit of every node'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "mend" -d 'Remove what a power cut left half written of the kubelet\'s own files; run before it'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "knock" -d 'Wait until an API server lets a client read; run before the kubelet, kube-proxy and the scheduler'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "form" -d 'Let etcd start once it may: found the cluster, join it again, or wait; run before etcd'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "formed" -d 'Remember that etcd has had a quorum; run after etcd is ready'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show all nodes of the cluster: stage, what is waited for and since when, warnings'
complete -c kiln -n "__fish_kiln_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kiln -n "__fish_kiln_using_subcommand build" -s p -l profile -d 'Role to build a medium for' -r -f -a "master\t'Control plane, and etcd unless said otherwise'
worker\t'Runs pods'
lb\t'Load balancer in front of the API'"
complete -c kiln -n "__fish_kiln_using_subcommand build" -l format -d 'What to write' -r -f -a "iso\t'The vendor\'s install ISO, with a kickstart: for machines, and whatever boots a CD or a USB stick'
qcow2\t'A disk image for QEMU, KVM, Proxmox and OpenStack, from the vendor\'s cloud image'
raw\t'The same, byte for byte, with holes'
pxe\t'A folder that machines install themselves from over the network'
seed\t'The seed alone: secrets for a medium that was built with --secrets seed'"
complete -c kiln -n "__fish_kiln_using_subcommand build" -s C -l cluster -d 'The cluster file' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand build" -s o -l output -d 'File or folder to write; out/CLUSTER-PROFILE.FORMAT if not given' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand build" -l secrets -d 'Where the secrets go: keys, tokens, root\'s password hash' -r -f -a "medium\t'On the medium, which is then to be kept as a key is'
seed\t'On a seed of their own, FILE.seed.iso; the medium has none'"
complete -c kiln -n "__fish_kiln_using_subcommand build" -l beside -d 'For --format seed: what it goes with' -r -f -a "iso\t'An install ISO, or a PXE tree'
image\t'A cloud image, or a disk image of kiln\'s'"
complete -c kiln -n "__fish_kiln_using_subcommand build" -l size -d 'Size of the disk of an image, 40G; the payload lies at its end, and root grows up to it [default: enough for a node]' -r
complete -c kiln -n "__fish_kiln_using_subcommand build" -l compress -d 'Compress all of a qcow2; without it the vendor\'s part stays as it is' -r -f -a "zlib\t'Read by every QEMU'
zstd\t'Quicker; read by QEMU 5.1 and later'"
complete -c kiln -n "__fish_kiln_using_subcommand build" -l node -d 'Make an image for one node, whatever machine it is put into' -r
complete -c kiln -n "__fish_kiln_using_subcommand build" -l reinstall -d 'Build a medium for one node that may wipe that node\'s disks, and is for no other' -r
complete -c kiln -n "__fish_kiln_using_subcommand build" -l kiln -d 'Statically linked kiln to put on the medium; this program if not given' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand build" -l sign -d 'Sign the medium with this secret key; OUTPUT.minisig is the signature' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand build" -l url -d 'For --format pxe: where machines find the tree, as http://ADDRESS/PATH/' -r
complete -c kiln -n "__fish_kiln_using_subcommand build" -l netboot-grub -d 'For --format pxe: a signed GRUB for UEFI that boots from the network' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand build" -l netboot-shim -d 'For --format pxe: the shim that fits that GRUB' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand build" -l pxelinux -d 'For --format pxe: folder with pxelinux.0 and ldlinux.c32' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand build" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand build" -l payload -d 'For --format seed: with the whole payload and what leads to it, for use beside the vendor\'s own ISO or image'
complete -c kiln -n "__fish_kiln_using_subcommand build" -l force -d 'Replace an output even if kiln did not make it'
complete -c kiln -n "__fish_kiln_using_subcommand build" -l json -d 'Print the result as JSON on standard output'
complete -c kiln -n "__fish_kiln_using_subcommand build" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand build" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand serve" -l interface -d 'Interface that the machines are behind' -r
complete -c kiln -n "__fish_kiln_using_subcommand serve" -l dhcp -d 'What to be for DHCP' -r -f -a "proxy\t'Beside the site\'s own DHCP server: offers boot files, no addresses'
own\t'The only DHCP server: gives the nodes their addresses'
off\t'No DHCP at all: another server names the boot files'"
complete -c kiln -n "__fish_kiln_using_subcommand serve" -l again -d 'Let a node be installed once more, and have its secrets again' -r
complete -c kiln -n "__fish_kiln_using_subcommand serve" -l state -d 'File that remembers who is installed; TREE.state beside the tree if not given' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand serve" -l tftp-port -d 'Port of TFTP; 0 for none' -r
complete -c kiln -n "__fish_kiln_using_subcommand serve" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand serve" -l any -d 'Let in machines that the tree does not name; pools of workers need it'
complete -c kiln -n "__fish_kiln_using_subcommand serve" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l firmware -d 'Firmware of the machine' -r -f -a "bios\t'SeaBIOS, QEMU\'s own'
uefi\t'OVMF with an empty variable store: no Secure Boot'
secure-boot\t'OVMF with Microsoft\'s keys enrolled and Secure Boot enforced'"
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l as -d 'How the medium is plugged in' -r -f -a "cd\t'As a disc in a SATA drive'
usb\t'As a USB stick'"
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l network-boot -d 'How a PXE tree is given to the firmware' -r -f -a "tftp\t'Loaders come by TFTP, or by HTTP where the firmware is iPXE'
http\t'Loaders come by HTTP: UEFI HTTP Boot'"
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l memory -d 'Memory of the machine' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l cpus -d 'Processors of the machine' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l cpu -d 'Their model, as QEMU names it: core2duo, Nehalem, or max, all that QEMU can' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l mac -d 'Address of its network card; without one it has no card. With --install there may be several' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l serial -d 'Its SMBIOS serial number' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l uuid -d 'Its SMBIOS UUID' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l accel -d 'What executes it; `auto` takes KVM where a tiny machine boots with it' -r -f -a "tcg\t'QEMU\'s translator: slower, works everywhere'
kvm\t'The kernel\'s virtualisation; fails where it is missing'
auto\t'KVM if a tiny machine boots with it, else TCG. `/dev/kvm` alone proves nothing'"
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l qemu -d 'QEMU\'s program; found by itself if not given' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l timeout -d 'Longest time for the whole boot, or for each phase of an install [default: 600, with --install 1800]' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l silence -d 'Longest time without a line of output [default: 90 for firmware and loader, 240 from the kernel on]' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l expect-node -d 'Fail unless the guest says it is this node' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l log -d 'Keep the serial log here; with --install FILE-1.log and so on, a log a phase' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l junit -d 'Write the result here as JUnit XML' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l screenshot -d 'If kiln gives the boot up, keep a picture (PNG) of the screen here; with --install, FILE-1.png and so on at the end of each phase. Gives the machine a VGA card' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l disk -d 'A disk: SIZE like 20G, then any of bus=virtio|sata|nvme|scsi|usb, serial=, wwn=, sector=4096, file= (used if it is there, made if not, kept), format=raw|qcow2, ro, unchanged (no byte of it may change)' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l expect -d 'What is expected of the installer' -r -f -a "installed\t'It resets the machine, which then boots from its disk'
refused\t'It prints the texts of --until and powers the machine off'"
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l until -d 'Text that must be printed: by each boot from the disk in place of a login prompt, or by the refusal' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l boots -d 'Boots from the disk, with a power-down after each' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l boot-order -d 'What the firmware tries first where the medium is plugged in' -r -f -a "medium\t'The medium, then the disks'
disk\t'The disks, then the medium'
firmware\t'What the firmware has remembered or prefers: nothing is asked of it'"
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l power-cut -d 'Cut the power so many seconds after the kernel\'s first line, then start again with the medium' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l power-cut-at -d 'Cut the power at a step of the installer; STEP is how its name begins' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l settle -d 'How long a machine that is up is left running before its picture is taken and it goes down' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l asset -d 'Its SMBIOS asset tag' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l rtc -d 'Its clock at power-on, in UTC: 2020-01-01T00:00:00' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l scenario -d 'Run the machines of this file (docs/boot-testing.md) in place of one medium' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l jobs -d 'Machines that run at once [default: the file\'s `jobs`, else all]' -r
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l json -d 'Print the result as JSON'
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l keep -d 'Keep the folder of the run: all logs, UEFI variables, disks'
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l install -d 'Install the machine: the medium runs, resets the machine, which then boots from its disk to a login prompt'
complete -c kiln -n "__fish_kiln_using_subcommand boot" -l medium-stays -d 'Leave the medium plugged in after the install'
complete -c kiln -n "__fish_kiln_using_subcommand boot" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand boot" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand verify" -l key -d 'The public key that you trust' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand verify" -l signature -d 'The signature; FILE.minisig if not given' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand verify" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand verify" -l json -d 'Print the result as JSON on standard output'
complete -c kiln -n "__fish_kiln_using_subcommand verify" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand watch" -s C -l cluster -d 'The cluster file' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand watch" -l kubeconfig -d 'A kubeconfig that kiln wrote, in place of pki/; no cluster file is read' -r -F
complete -c kiln -n "__fish_kiln_using_subcommand watch" -l interval -d 'Seconds between two looks' -r
complete -c kiln -n "__fish_kiln_using_subcommand watch" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand watch" -l once -d 'Look once, and tell by the exit code how it is'
complete -c kiln -n "__fish_kiln_using_subcommand watch" -l json -d 'Print a line of JSON for each look'
complete -c kiln -n "__fish_kiln_using_subcommand watch" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand docs" -l color -d 'When to use colour' -r -f -a "auto\t'Colour on a terminal unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kiln -n "__fish_kiln_using_subcommand docs" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kiln -n "__fish_kiln_using_subcommand docs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "init" -d 'Write a commented sample of cluster.toml'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "inspect" -d 'Read a medium back: boot records, label, menus, payload, manifest'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "check" -d 'Check cluster.toml: all that is wrong with it, at once'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "plan" -d 'Show what the nodes of a profile get: files, units, packages, certificates'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "schema" -d 'Print the JSON Schema of cluster.toml, for editors'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "fetch" -d 'Bring what nodes run, and pin it in kiln.lock'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "bundle" -d 'Carry what a build needs to where there is no network'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "image" -d 'Make container images for the nodes'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "pki" -d 'Make, renew and show the certificates in pki/'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "key" -d 'Make the keys that media are signed with'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "node" -d 'Run on a machine: check the medium, prepare and place what the node gets'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "build" -d 'Build the install medium of one role'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "serve" -d 'Give a PXE tree out by DHCP, TFTP and HTTP, and show how far its machines are'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "boot" -d 'Boot a medium in QEMU and judge it'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "verify" -d 'Verify the signature of a medium, and that it is whole'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "watch" -d 'Show how the running cluster is: nodes, workloads, requests, what ends'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "docs" -d 'Print what is generated from the program itself: man pages, completions, schema'
complete -c kiln -n "__fish_kiln_using_subcommand help; and not __fish_seen_subcommand_from init inspect check plan schema fetch bundle image pki key node build serve boot verify watch docs help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from bundle" -f -a "create" -d 'Pack kiln, kiln.lock and all that it pins into one file'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from bundle" -f -a "add" -d 'Take a bundle into the cache, and its kiln.lock into the project'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "create" -d 'Make an image of one layer for linux/amd64 from files'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from pki" -f -a "show" -d 'Show names, uses and lifetimes, and until when media built now are good'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from pki" -f -a "init" -d 'Make what is missing; a build does so by itself'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from pki" -f -a "renew" -d 'Issue all leaf certificates and the bootstrap token anew; authorities stay'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "create" -d 'Make a secret key, and beside it the public key with the ending .pub'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "prepare" -d 'Find out which node this machine is and which disk it may use; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "boot-disk" -d 'Start the system that this medium has installed already; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "bind" -d 'Mark the disks of the node as parted; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "place" -d 'Lay down what this node gets in the new system; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "probe-disk" -d 'Measure how long the new disk of an etcd member takes to make a write last; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "finish" -d 'Mark the node as complete on its disks; run by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "release" -d 'Let the boot loader start the finished system; run in it by the installer'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "unfinished" -d 'Say that the installation was cut short, or make its last step; a unit of machines that were not finished'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "adopt" -d 'Make a machine that started from a disk image the node that it is; a unit of disk images'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "verify" -d 'Check every file of a mounted medium against its manifest'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "images" -d 'Load the container images of the install medium; run at boot'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "clock" -d 'Look after the clock, and say how it is; a unit of every node'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "addons" -d 'Apply what the cluster needs: bindings, tokens, addons, labels; a unit of masters'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "approve" -d 'Judge kubelets\' certificate requests; a unit of masters'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "routes" -d 'Keep the CNI configuration and the routes of bridge mode; a unit of nodes that run pods'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "agent" -d 'Answer the other nodes and tell them how this one is; a unit of every node'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "mend" -d 'Remove what a power cut left half written of the kubelet\'s own files; run before it'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "knock" -d 'Wait until an API server lets a client read; run before the kubelet, kube-proxy and the scheduler'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "form" -d 'Let etcd start once it may: found the cluster, join it again, or wait; run before etcd'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "formed" -d 'Remember that etcd has had a quorum; run after etcd is ready'
complete -c kiln -n "__fish_kiln_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "status" -d 'Show all nodes of the cluster: stage, what is waited for and since when, warnings'
