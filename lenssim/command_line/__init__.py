"""What the commands of both packages share.

command_group   errors in one sentence, exit codes, text that the terminal cannot show
interruption    starting a program; Ctrl-C, SIGTERM and SIGHUP
progress_bar    progress on stderr
"""
