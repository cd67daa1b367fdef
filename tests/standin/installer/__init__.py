"""The stand-in's installer: reads a kickstart with pykickstart and carries out what kiln's kickstarts use, in Anaconda's order.

It is not Anaconda, and what it installs is Debian. Sources in comments: A7 to A10 are the branches rhel7-branch, rhel-8, rhel-9 and
rhel-10 of rhinstaller/anaconda; B is storaged-project/blivet.
"""
