module natssublist

go 1.19
